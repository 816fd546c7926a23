/**
 * Very many async contexts at once that make code and garbage, each with functions of its own name.
 * Arguments: seconds of CPU; contexts; whose the labels are, `user` or `spans`; `before` or `after`:
 * with the addon of ../nested-collections.cc, whose callback V8 knows before ours or after it.
 */

import { createRequire } from 'node:module';
import { setImmediate as turn } from 'node:timers/promises';
import { processMicros } from '../../support/thread-cpu.mjs';

const [seconds, contexts] = process.argv.slice(2, 4).map(Number);
const [owner, nested] = process.argv.slice(4);
const addon = nested && createRequire(import.meta.url)(process.env.TORTURE_ADDON);
if (nested === 'before') addon.begin();
const { getLabels, Scope, TracerProvider, withLabels } = await import('otelpyroscope');
const { Tortured } = await import('./harness.mjs');
const { context, ROOT_CONTEXT } = await import('@opentelemetry/api');
const { AsyncLocalStorageContextManager } = await import('@opentelemetry/context-async-hooks');
const { BasicTracerProvider } = await import('@opentelemetry/sdk-trace-base');

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
const tracer = new TracerProvider(new BasicTracerProvider(), {
  attributeLabels: ['task'],
  spanIdScope: Scope.AllSpans,
}).getTracer('contexts');
const inSpan = (options, parent, fn) =>
  tracer.startActiveSpan('work', options, parent, async (span) => {
    await fn();
    span.end();
  });
/** Each calls a function under labels: of a task, and of others that it has for a while. */
const { inTask, inStep } =
  owner === 'spans'
    ? {
        inTask: (task, fn) => inSpan({ attributes: { task } }, ROOT_CONTEXT, fn),
        inStep: (task, step, fn) => inSpan({}, context.active(), fn),
      }
    : {
        inTask: (task, fn) => withLabels({ task }, fn),
        inStep: (task, step, fn) => withLabels({ task, step: String(step) }, fn),
      };

const KEPT = 400;
let made = 0;
let strayed = 0;

/** A function that is like no other, called as its task is. */
const makeFunction = (task) =>
  new Function(
    `return function task_${task}_${made++}(n, kept) {
      let sum = 0;
      for (let i = 0; i < n; i++) {
        const object = { i, text: 'x' + i, inner: [i, { i }] };
        if (i % 50 === 0) kept[(kept.length + i) % ${KEPT}] = object;
        sum += object.inner[0] & 7;
      }
      return sum;
    }`,
  )();

const tortured = new Tortured({ alone: true });
await tortured.run(
  () => {
    if (nested === 'after') addon.begin();
    const end = processMicros() + seconds * 1e6;
    const run = async (number) => {
      const kept = [];
      const task = String(number);
      const old = makeFunction(number);
      for (let step = 0; processMicros() < end; step++) {
        const fresh = makeFunction(number);
        for (let i = 0; i < 30; i++) fresh(300, kept);
        old(500, kept);
        await (Math.random() < 0.5 ? null : turn());
        if (getLabels().task !== task) strayed++;
        // A label set of its own for a while, and back.
        if (step % 50 === 49) {
          await inStep(task, step, async () => {
            await null;
            old(500, kept);
          });
        }
      }
    };
    return Promise.all(Array.from({ length: contexts }, (_, i) => inTask(String(i), () => run(i))));
  },
  () => ({ strayed, nested: addon?.count() }),
);
