/**
 * Measures the nanoseconds of CPU of operations on contexts and spans. Argument: `off` is the bare SDK,
 * `labels` ours without a profiler, `ours` with one, `datadog` the bare SDK and its own labels.
 */

import { createRequire } from 'node:module';
import { processMicros } from '../clock.mjs';
import { median } from '../measure.mjs';
import { report, startProfiler } from './profilers.mjs';

const require = createRequire(import.meta.url);
const { context, ROOT_CONTEXT, trace } = require('@opentelemetry/api');
const { NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');

const BLOCKS = 7;
const BLOCK_MICROS = 40_000;
const SPANS = 64;

const mode = process.argv[2];
const inner = new NodeTracerProvider();
const wraps = mode === 'ours' || mode === 'labels';
const provider = wraps ? new (require('otelpyroscope').TracerProvider)(inner) : inner;
provider.register();
const profiler = await startProfiler(mode);
const tracer = trace.getTracer('bench');

const nothing = () => {};
const end = (span) => span.end();
const roots = Array.from({ length: SPANS }, (_, i) =>
  tracer.startSpan(`root ${i}`, { root: true }, ROOT_CONTEXT),
);
const contexts = roots.map((span) => trace.setSpan(ROOT_CONTEXT, span));
const childContexts = Array.from({ length: SPANS }, (_, i) =>
  trace.setSpan(contexts[0], tracer.startSpan(`child ${i}`, {}, contexts[0])),
);
const labels = { span_id: '0123456789abcdef', trace_id: '0123456789abcdef0123456789abcdef' };
const datadog = mode === 'datadog';
const call = datadog ? () => profiler.run(labels, nothing) : nothing;
const endSpan = datadog ? (span) => profiler.run(labels, () => span.end()) : end;

/** Each does so many of one operation. */
const operations = {
  newRecord: (times) => {
    for (let i = 0; i < times; i++) context.with(contexts[i % SPANS], call);
  },
  sameRecord: (times) =>
    context.with(contexts[0], () => {
      for (let i = 0; i < times; i++) context.with(childContexts[i % SPANS], call);
    }),
  root: (times) => {
    for (let i = 0; i < times; i++) tracer.startActiveSpan('root', endSpan);
  },
  child: (times) =>
    context.with(contexts[0], () => {
      for (let i = 0; i < times; i++) tracer.startActiveSpan('child', endSpan);
    }),
};

/** Returns the number of repetitions that take about one block. */
function calibrate(operation) {
  let times = 2_000;
  for (let i = 0; i < 6; i++) {
    const begin = processMicros();
    operation(times);
    times = Math.ceil((times * BLOCK_MICROS) / Math.max(1, processMicros() - begin));
  }
  return times;
}

const times = Object.entries(operations).map(([name, run]) => [name, run, calibrate(run)]);
const nanos = Object.fromEntries(times.map(([name]) => [name, []]));
for (let block = 0; block < BLOCKS; block++) {
  for (const [name, run, count] of times) {
    const begin = processMicros();
    run(count);
    nanos[name].push(((processMicros() - begin) * 1_000) / count);
  }
}
report(Object.fromEntries(Object.entries(nanos).map(([name, list]) => [name, median(list)])));
