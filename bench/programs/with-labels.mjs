/**
 * Measures the nanoseconds of CPU of a call under labels of the program's own. Argument: the profiler
 * (`labels`: ours, but no profile is taken).
 */

import { processMicros } from '../clock.mjs';
import { median } from '../measure.mjs';
import { loadOurs, report, startProfiler } from './profilers.mjs';

const CALLS = 20_000;
const WARM_UP = 10;
const BLOCKS = 21;
/** Combinations of the labels that come again and again. */
const ROUTES = 20;

const mode = process.argv[2];
const { run } =
  mode === 'labels' ? { run: (await loadOurs()).withLabels } : await startProfiler(mode);
const nothing = () => {};
let calls = 0;

const operations = {
  few: () => run({ route: `/route/${calls++ % ROUTES}`, tenant: 'a' }, nothing),
  new: () => run({ request: `request ${calls++}`, tenant: 'a' }, nothing),
};

function block(operation) {
  const begin = processMicros();
  for (let i = 0; i < CALLS; i++) operation();
  return ((processMicros() - begin) * 1_000) / CALLS;
}

const nanos = Object.fromEntries(Object.keys(operations).map((name) => [name, []]));
for (let i = 0; i < WARM_UP + BLOCKS; i++) {
  for (const [name, operation] of Object.entries(operations)) nanos[name].push(block(operation));
}
report(
  Object.fromEntries(
    Object.entries(nanos).map(([name, found]) => [name, median(found.slice(WARM_UP))]),
  ),
);
