/** Measures what listening to V8's code events costs its garbage collector. */

import { runAsProgram } from './as-program.mjs';
import { atMostPercent, NAMES, paired, programInTurns, show, showPercent } from './measure.mjs';

/** Limit of the time in collections beyond that without a profiler, in percent. */
const LIMIT_PERCENT = 5;

export const bench = {
  title: 'Garbage collection',
  about: 'time in collections, and CPU of the process, of a loop that keeps much of what it makes.',
  remark:
    'V8 counts as the collection what listeners to its start do: ours drains the samples. The ' +
    'rounds differ by more than it makes.',
  rounds: 7,
  async run({ rounds, node }) {
    const options = { node: node.execPath, file: 'survivors.mjs' };
    const results = await programInTurns(['off', 'ours'], rounds, options);
    const of = (mode, key) => results[mode].map((found) => found[key]);
    const ratios = (key) => paired(of('ours', key), of('off', key));
    const over = (key) => showPercent(ratios(key));
    return {
      columns: ['', 'collections, ms', 'CPU, ms'],
      rows: [
        ...['off', 'ours'].map((mode) => ({
          cells: [NAMES[mode], show(of(mode, 'gcMillis')), show(of(mode, 'cpuMillis'), 0)],
        })),
        {
          cells: ['over no profiler', over('gcMillis'), over('cpuMillis')],
          target: atMostPercent(ratios('gcMillis'), LIMIT_PERCENT),
        },
      ],
    };
  },
};

void runAsProgram(import.meta.url);
