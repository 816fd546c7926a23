/** The kinds of work of the compute suite, each a fixed number of times. Arguments: the profiler, rounds. */

import { processMicros } from '../clock.mjs';
import { work } from './counted-work.mjs';
import { ownNanos, report, startProfiler } from './profilers.mjs';

const WARM_UP = 4;

const [mode, rounds] = process.argv.slice(2);
const profiler = await startProfiler(mode);
work(WARM_UP);
const before = profiler.metrics();
const begin = processMicros();
work(Number(rounds));
const micros = processMicros() - begin;
report({ micros, own: ownNanos(before, profiler.metrics()) });
