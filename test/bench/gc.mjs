/**
 * What listening to V8 costs its garbage collector: time in collections of a survivor-heavy loop,
 * with and without the profiler.
 *
 *     node test/bench/gc.mjs [rounds]
 */

import { fileURLToPath } from 'node:url';
import { inTurns, median, runVariant, spread } from './measure.mjs';

const PROGRAM = fileURLToPath(new URL('programs/survivors.mjs', import.meta.url));
const rounds = Number(process.argv[2] ?? 15);

const results = await inTurns(
  Object.fromEntries(['off', 'on'].map((mode) => [mode, () => runVariant([PROGRAM, mode])])),
  rounds,
);
console.log(`Node ${process.version}, ${rounds} rounds, median (middle half)`);
for (const [mode, reports] of Object.entries(results)) {
  for (const key of ['gcMillis', 'cpuMillis']) {
    const { low, median: middle, high } = spread(reports.map((report) => report[key]));
    console.log(`${mode} ${key}: ${middle.toFixed(1)} (${low.toFixed(1)} to ${high.toFixed(1)})`);
  }
}
for (const key of ['gcMillis', 'cpuMillis']) {
  const ratios = results.on.map((report, round) => report[key] / results.off[round][key]);
  console.log(`${key} on / off, paired: ${(100 * (median(ratios) - 1)).toFixed(1)} %`);
}
