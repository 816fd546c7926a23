/** The kinds of work of the compute suite, each a fixed number of times. Arguments: the profiler, rounds. */

import { kinds } from '../../integration/fixtures/programs/compute.mjs';
import { processMicros } from '../clock.mjs';
import { ownNanos, report, startProfiler } from './profilers.mjs';

/** So that each kind takes about 10 ms a round. */
const TIMES = {
  runFibonacci: 700,
  multiply: 70,
  sieve: 250,
  sortRecords: 50,
  countWords: 200,
  roundTrip: 60,
  buildTree: 350,
  sumGenerator: 200,
  replaceText: 40,
  reduceChain: 80,
};
const WARM_UP = 4;

function work(rounds) {
  for (let round = 0; round < rounds; round++) {
    for (const kind of kinds) for (let i = 0; i < TIMES[kind.name]; i++) kind();
  }
}

const [mode, rounds] = process.argv.slice(2);
const profiler = await startProfiler(mode);
work(WARM_UP);
const before = profiler.metrics();
const begin = processMicros();
work(Number(rounds));
const micros = processMicros() - begin;
report({ micros, own: ownNanos(before, profiler.metrics()) });
