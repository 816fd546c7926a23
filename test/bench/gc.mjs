/** What listening to V8 costs its garbage collector. */

import { runAsProgram } from './as-program.mjs';
import { NAMES, paired, programInTurns, show, showPercent } from './measure.mjs';

export const bench = {
  title: 'Garbage collection',
  about: 'time in collections, and CPU of the process, of a loop that keeps much of what it makes.',
  remark:
    'Above the 5 % that we want, by some 3 ms in 30 turns, about as much as rounds differ. A third ' +
    'is the drain in the prologues, which V8 counts as the collection: 1.1 ms for 40 samples, most ' +
    'of them the first of their code. The rest is not explained.',
  rounds: 7,
  async run({ rounds, node }) {
    const options = { node: node.execPath, file: 'survivors.mjs' };
    const results = await programInTurns(['off', 'ours'], rounds, options);
    const of = (mode, key) => results[mode].map((found) => found[key]);
    const over = (key) => showPercent(paired(of('ours', key), of('off', key)));
    return {
      columns: ['', 'collections, ms', 'CPU, ms'],
      rows: [
        ...['off', 'ours'].map((mode) => ({
          cells: [NAMES[mode], show(of(mode, 'gcMillis')), show(of(mode, 'cpuMillis'), 0)],
        })),
        { cells: ['over no profiler', over('gcMillis'), over('cpuMillis')] },
      ],
    };
  },
};

void runAsProgram(import.meta.url);
