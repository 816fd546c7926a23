/**
 * Nanoseconds of CPU that an await takes. Argument: `off` without any store, `storage` with one
 * AsyncLocalStorage, the others with that and labels: `labels` ours without a profiler, `ours` with
 * one, `datadog` its own.
 */

import { AsyncLocalStorage } from 'node:async_hooks';
import { withLabels } from 'otelpyroscope';
import { processMicros } from '../clock.mjs';
import { median } from '../measure.mjs';
import { report, startProfiler } from './profilers.mjs';

const HOPS = 150_000;
const BLOCKS = 9;
const LABELS = { span_id: '0123456789abcdef' };

const mode = process.argv[2];
const profiler = await startProfiler(mode);
const storage = new AsyncLocalStorage();

async function nothing() {}

async function hop() {
  for (let i = 0; i < HOPS; i++) await nothing();
}

async function measure() {
  for (let i = 0; i < 3; i++) await hop();
  const nanos = [];
  for (let block = 0; block < BLOCKS; block++) {
    const begin = processMicros();
    await hop();
    nanos.push(((processMicros() - begin) * 1_000) / HOPS);
  }
  return median(nanos);
}

const stored = (fn) => storage.run({ request: 1 }, fn);
const ways = {
  off: measure,
  storage: () => stored(measure),
  labels: () => stored(() => withLabels(LABELS, measure)),
  ours: () => stored(() => withLabels(LABELS, measure)),
  datadog: () => stored(() => profiler.run(LABELS, measure)),
};
report({ nanos: await ways[mode]() });
