/** Measures what a profiler uses in an idle process. */

import { runAsProgram } from './as-program.mjs';
import { atMost, median, NAMES, PEERS, program, runVariant, show } from './measure.mjs';

const SECONDS = 8;
const LIMIT = 0.1;

export const bench = {
  title: 'Idle process',
  about: `a process that waits on a timer for ${SECONDS} s; all variants wait at the same time.`,
  rounds: 3,
  async run({ rounds, node, peers }) {
    const modes = ['off', 'ours', ...(peers ? PEERS : [])];
    const one = (mode) => runVariant([program('idle.mjs'), mode, SECONDS], { node: node.execPath });
    const results = [];
    for (let round = 0; round < rounds; round++) results.push(await Promise.all(modes.map(one)));
    const of = (mode) => results.map((found) => found[modes.indexOf(mode)].millisPerSecond);
    const over = (mode) => of(mode).map((value, round) => value - of('off')[round]);
    return {
      columns: ['', 'ms of CPU a second', 'over no profiler'],
      rows: modes.map((mode) => ({
        cells: [NAMES[mode], show(of(mode), 2), mode === 'off' ? '' : show(over(mode), 2)],
        target: mode === 'ours' ? atMost(median(over(mode)), LIMIT) : undefined,
      })),
    };
  },
};

void runAsProgram(import.meta.url);
