/** Measures what a call under labels of the program's own costs. */

import { runAsProgram } from './as-program.mjs';
import { atMost, median, NAMES, programInTurns, show } from './measure.mjs';

const OPERATIONS = {
  few: 'two labels, of 20 combinations',
  new: 'two labels, others at each call',
};

export const bench = {
  title: 'Labels of your own',
  about:
    'CPU of one `withLabels` call of a function that does nothing, and of what Datadog has for it ' +
    '(`runWithContext`). The target is that. On Node.js 20 there is none: `setContext` and back, all ' +
    'that works there, follows no asynchronous work.',
  key: true,
  rounds: 5,
  async run({ rounds, node, peers }) {
    const modes = ['labels', 'ours', ...(peers ? ['datadog'] : [])];
    const options = { node: node.execPath, file: 'with-labels.mjs' };
    const results = await programInTurns(modes, rounds, options);
    const of = (mode, name) => results[mode].map((found) => found[name]);
    return {
      columns: ['', ...modes.map((mode) => `${NAMES[mode]}, ns`)],
      rows: Object.entries(OPERATIONS).map(([name, what]) => ({
        cells: [what, ...modes.map((mode) => show(of(mode, name), 0))],
        target:
          peers && node.major >= 24
            ? atMost(median(of('ours', name)), Math.round(median(of('datadog', name))), 'ns')
            : undefined,
      })),
    };
  },
};

void runAsProgram(import.meta.url);
