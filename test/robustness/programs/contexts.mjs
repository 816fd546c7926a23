/**
 * Very many async contexts at once that make code and garbage, each with functions of its own name.
 * Arguments: seconds of CPU, contexts; `before` or `after`: with the addon of
 * ../nested-collections.cc, whose callback V8 knows before ours or after it.
 */

import { createRequire } from 'node:module';
import { setImmediate as turn } from 'node:timers/promises';
import { processMicros } from '../../support/thread-cpu.mjs';

const [seconds, contexts] = process.argv.slice(2, 4).map(Number);
const nested = process.argv[4];
const addon = nested && createRequire(import.meta.url)(process.env.TORTURE_ADDON);
if (nested === 'before') addon.begin();
const { getLabels, withLabels } = await import('otelpyroscope');
const { Tortured } = await import('./harness.mjs');

const KEPT = 400;
let made = 0;
let strayed = 0;

/** A function that is like no other, called as its context is. */
const makeFunction = (context) =>
  new Function(
    `return function flow_${context}_${made++}(n, kept) {
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
    const run = async (context) => {
      const kept = [];
      const labels = { flow: String(context) };
      const old = makeFunction(context);
      for (let step = 0; processMicros() < end; step++) {
        const fresh = makeFunction(context);
        for (let i = 0; i < 30; i++) fresh(300, kept);
        old(500, kept);
        await (Math.random() < 0.5 ? null : turn());
        if (getLabels().flow !== labels.flow) strayed++;
        // A label set of its own for a while, and back.
        if (step % 50 === 49) {
          await withLabels({ ...labels, step: String(step) }, async () => {
            await null;
            old(500, kept);
          });
        }
      }
    };
    return Promise.all(
      Array.from({ length: contexts }, (_, i) => withLabels({ flow: String(i) }, () => run(i))),
    );
  },
  () => ({ strayed, nested: addon?.count() }),
);
