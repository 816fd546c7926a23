/**
 * Works in bursts that a timer starts, each under a label, and compares the profile with the truth.
 * Arguments: the clock, its interval in µs, milliseconds of a burst, what ends it (`date` or
 * `performance`), seconds.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { CpuProfiler, withLabels } from 'otelpyroscope';
import { readProfile } from '../../test/support/read-profile.mjs';
import { threadNanos } from '../clock.mjs';
import { report } from './profilers.mjs';

const [clock, intervalMicros, millis, end, seconds] = process.argv.slice(2);

/** `date` ends when the millisecond turns, as ticks of the kernel begin. */
const now = { date: () => Date.now(), performance: () => performance.now() }[end];
let insideNanos = 0;

function burst() {
  const before = threadNanos();
  const until = now() + Number(millis);
  while (now() < until);
  insideNanos += threadNanos() - before;
}

const begin = threadNanos();
const profiler = new CpuProfiler({ clock, intervalMicros: Number(intervalMicros) });
profiler.start();
for (const until = performance.now() + Number(seconds) * 1_000; performance.now() < until;) {
  await sleep(Math.max(1, Number(millis) / 2));
  withLabels({ part: 'burst' }, burst);
}
const totalNanos = threadNanos() - begin;
const { samples } = profiler.metrics();
const profile = readProfile(await profiler.stop());
report({
  inside: profile.nanos(({ labels }) => labels.part === 'burst') / insideNanos,
  samplesPerSecond: samples / (totalNanos / 1e9),
});
