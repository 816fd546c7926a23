/** The kinds of work of the compute suite, each a fixed number of times. */

import { kinds } from '../../test/integration/fixtures/programs/compute.mjs';

/** Repetitions by which each kind takes about 10 ms per round. */
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

/** @param {(kind: () => void) => void} [after] Called after each kind in each round. */
export function work(rounds, after) {
  for (let round = 0; round < rounds; round++) {
    for (const kind of kinds) {
      for (let i = 0; i < TIMES[kind.name]; i++) kind();
      after?.(kind);
    }
  }
}
