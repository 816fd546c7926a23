/**
 * A busy event loop: short tasks under 1,000 labels, garbage, new code now and then, a profile at
 * every quarter; reports what turns used. Arguments: the profiler, seconds of CPU.
 */

import { processMicros, threadNanos } from '../clock.mjs';
import { report, startProfiler } from './profilers.mjs';

const TASK_MICROS = 300;
const SPANS = 1_000;
const PROFILES = 4;
/** Turns between two new functions. */
const CODE_EVERY = 100;
const TURNS_OF_PROFILE = 40;

const [mode, seconds] = process.argv.slice(2);
/**
 * One in this many objects is kept. If most are kept, V8 begins at some time to allocate all of them
 * in its old space, and then every scavenge takes tens of milliseconds, with a profiler or without.
 */
const KEPT_OF = 20;
const kept = new Array(20_000);
let next = 0;
let made = 0;

function task() {
  const end = processMicros() + TASK_MICROS;
  do {
    for (let i = 0; i < 40; i++) {
      const object = { i, text: `n${i}`, inner: JSON.parse('{"a":[1,2,3]}') };
      if (next++ % KEPT_OF === 0) kept[((next / KEPT_OF) % kept.length) | 0] = object;
    }
  } while (processMicros() < end);
}

function newCode() {
  for (let i = 0; i < 5; i++) {
    const fresh = new Function('n', `/* ${made++} */ let s = 0; while (n--) s += n; return s;`);
    for (let j = 0; j < 20; j++) fresh(50);
  }
}

const profiler = await startProfiler(mode);
/** Returns the wall-clock time of our own work outside the handler, so far. */
const ownNanos = () => {
  const metrics = profiler.metrics();
  return metrics === undefined ? 0 : metrics.drainNanos + metrics.jitEventNanos;
};

const own = [];
const slices = { work: [], profile: [] };
let phase = slices.work;
let count = 0;

/** Runs one turn, and `also` in it, and measures it. */
async function turn(also) {
  const ownBefore = ownNanos();
  const begin = threadNanos();
  also?.();
  profiler.run({ span_id: (count++ % SPANS).toString(16).padStart(16, '0') }, task);
  if (count % CODE_EVERY === 0) newCode();
  await new Promise(setImmediate);
  const used = threadNanos() - begin;
  phase.push(used);
  // Ours reads the clock, which goes on while the thread does not.
  own.push(Math.min(used, ownNanos() - ownBefore));
}

async function turns(micros) {
  const end = processMicros() + micros;
  while (processMicros() < end) await turn();
}

/** Takes a profile, over at least as many turns as without a profiler, for the same effect of chance. */
async function takeProfile() {
  let isDone = false;
  phase = slices.profile;
  await turn(() => profiler.collect().then(() => (isDone = true)));
  for (let i = 0; i < TURNS_OF_PROFILE || !isDone; i++) await turn();
  phase = slices.work;
}

await turns(700_000);
slices.work.length = own.length = slices.profile.length = 0;
for (let i = 0; i < PROFILES; i++) {
  await turns((Number(seconds) * 1e6) / PROFILES);
  await takeProfile();
}
const typical = slices.work.toSorted((a, b) => a - b)[slices.work.length >> 1];
const longest = (list) => (Math.max(...list) - typical) / 1e6;
report({
  longestWork: longest(slices.work),
  overWork: slices.work.filter((nanos) => nanos > typical + 1e6).length,
  longestProfile: longest(slices.profile),
  longestOwn: Math.max(...own) / 1e6,
});
