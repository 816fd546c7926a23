/** Measures what a profiler adds to a program that computes. */

import { runAsProgram } from './as-program.mjs';
import { loadModes, loadTable } from './load.mjs';
import { programInTurns } from './measure.mjs';

const WORK_ROUNDS = 15;

export const bench = {
  title: 'Compute load',
  about:
    'the same work, of ten kinds (recursion, numbers, sorting, strings, JSON, objects, generators, ' +
    'regular expressions), at 100 Hz; CPU of the whole process.',
  rounds: 5,
  async run({ rounds, node, peers }) {
    const options = { node: node.execPath, file: 'compute.mjs', args: [WORK_ROUNDS] };
    const results = await programInTurns(loadModes(peers), rounds, options);
    const values = Object.entries(results).map(([mode, found]) => [
      mode,
      found.map((one) => ({ ...one, value: one.micros / 1_000 })),
    ]);
    return loadTable(Object.fromEntries(values), 'ms of CPU', 0);
  },
};

void runAsProgram(import.meta.url);
