/**
 * Measures the nanoseconds of CPU of an await. Argument: `off` without any store, `profiled` the same
 * with a profiler of ours, `storage` with one
 * AsyncLocalStorage, the others with that and labels: `labels` ours without a profiler, `ours` with
 * one, `datadog` its own; `alone` only ours with a profiler, no other store.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import { withLabels } from 'otelpyroscope';
import { processMicros } from '../clock.mjs';
import { median } from '../measure.mjs';
import { report, startProfiler } from './profilers.mjs';

/** Hops between two reads of the clock. */
const HOPS = 5_000;
const BLOCK_MICROS = 20_000;
const WARM_UP = 5;
const BLOCKS = 11;
const LABELS = { span_id: '0123456789abcdef' };

const mode = process.argv[2];
const profiler = await startProfiler(mode === 'alone' || mode === 'profiled' ? 'ours' : mode);
/** On Node.js 24 and 26 without AsyncContextFrame, making a storage enables hooks. */
const storage = ['off', 'profiled', 'alone'].includes(mode) ? undefined : new AsyncLocalStorage();

async function nothing() {}

async function hop() {
  for (let i = 0; i < HOPS; i++) await nothing();
}

/** Returns the nanoseconds of one hop, measured over a block of them. */
async function block() {
  const begin = processMicros();
  let hops = 0;
  let micros;
  do {
    await hop();
    hops += HOPS;
    micros = processMicros() - begin;
  } while (micros < BLOCK_MICROS);
  return (micros * 1_000) / hops;
}

async function measure() {
  const nanos = [];
  for (let i = 0; i < WARM_UP + BLOCKS; i++) nanos.push(await block());
  return median(nanos.slice(WARM_UP));
}

const stored = (fn) => storage.run({ request: 1 }, fn);
const ways = {
  off: measure,
  profiled: measure,
  storage: () => stored(measure),
  labels: () => stored(() => withLabels(LABELS, measure)),
  ours: () => stored(() => withLabels(LABELS, measure)),
  alone: () => withLabels(LABELS, measure),
  datadog: () => stored(() => profiler.run(LABELS, measure)),
};
report({ nanos: await ways[mode]() });
