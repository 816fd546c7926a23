/** Does nothing, for a while. Arguments: the profiler, seconds. */

import { setTimeout as sleep } from 'node:timers/promises';
import { processMicros } from '../clock.mjs';
import { report, startProfiler } from './profilers.mjs';

const [mode, seconds] = process.argv.slice(2);
await startProfiler(mode);
// Compilers finish their work of the start, and V8's memory reducer collects, some 8 s after it.
await sleep(12_000);
const begin = processMicros();
await sleep(Number(seconds) * 1_000);
report({ millisPerSecond: (processMicros() - begin) / 1_000 / Number(seconds) });
