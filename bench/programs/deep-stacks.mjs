/**
 * Works at the end of a stack of so many functions, under 1,000 labels in turns, at 250 Hz; reports
 * what a signal and a sample cost. Arguments: frames, kind of work, seconds of CPU.
 */

import { Script } from 'node:vm';
import { CpuProfiler, withLabels } from 'otelpyroscope';
import { processMicros } from '../clock.mjs';
import { median } from '../measure.mjs';
import { readProfile } from '../../test/support/read-profile.mjs';
import { report } from './profilers.mjs';

/** A kernel tick of 250 Hz: no CPU timer fires more often. */
const INTERVAL_MICROS = 4_000;
const WARM_UP_MICROS = 500_000;
const SPANS = 1_000;
/** Functions below the chain: the loops of this file and Node's own. */
const BASE_FRAMES = 9;

const [frames, kind, seconds] = process.argv.slice(2);

// Different functions that call each other through a table: V8 does not inline them into each other.
const source = Array.from(
  { length: 16 },
  (_, i) => `function step${i}(chain, left, work) {
    return left === 0 ? work() : chain[left & 15](chain, left - 1, work) + ${i};
  }`,
);
const chain = new Script(`[${source.join(',')}]`, { filename: 'chain.js' }).runInThisContext();
const depth = Math.max(0, Number(frames) - BASE_FRAMES);

const records = Array.from({ length: 200 }, (_, i) => ({
  id: i,
  name: `record ${i}`,
  at: new Date(i),
}));
/** Larger than the caches of a core. */
const wide = new Int32Array(8 << 20);

/** Kinds of work by their effect on the caches. */
const works = {
  ordinary: () => {
    const byName = new Map(records.map((record) => [record.name, { ...record }]));
    return JSON.stringify([...byName.values()].filter(({ id }) => id % 2 === 0)).length;
  },
  scattered: () => {
    let at = 12_345;
    let sum = 0;
    for (let i = 0; i < 20_000; i++) {
      at = (Math.imul(at, 1_103_515_245) + 12_345) >>> 0;
      sum += wide[at % wide.length]++;
    }
    return sum;
  },
};

const profiler = new CpuProfiler({ intervalMicros: INTERVAL_MICROS });
const handler = [];
const drain = [];
let before = profiler.metrics();

/** Reads the cost of each signal alone: a mean would include those during which another process ran. */
function readCost() {
  const now = profiler.metrics();
  const signals = now.signals - before.signals;
  const drained = now.samples - before.samples;
  if (signals > 0) handler.push((now.handlerNanos - before.handlerNanos) / signals);
  if (drained > 0) drain.push((now.drainNanos - before.drainNanos) / drained);
  before = now;
}

/** Works under changing labels, so that each sample is likely to have another one. */
function burn(micros) {
  const end = processMicros() + micros;
  for (let span = 0; processMicros() < end; span++) {
    withLabels({ span_id: (span % SPANS).toString(16).padStart(16, '0') }, () => {
      for (let i = 0; i < 10; i++) chain[0](chain, depth, works[kind]);
    });
    readCost();
  }
}

burn(WARM_UP_MICROS);
profiler.start();
burn(WARM_UP_MICROS);
handler.length = drain.length = 0;
burn(Number(seconds) * 1e6);
const { samples } = readProfile(await profiler.stop());
const depths = samples.flatMap(({ stack, count }) => Array(count).fill(stack.length));
report({
  handlerMicros: median(handler) / 1_000,
  drainMicros: median(drain) / 1_000,
  frames: median(depths),
});
