/** Measures for how long a profiler blocks the event loop. */

import { runAsProgram } from './as-program.mjs';
import { atMost, median, NAMES, programInTurns, show } from './measure.mjs';

const SECONDS = 4;

/** Returns by how much the longest turn is longer while ours takes a profile; some are collections. */
function overOff(of) {
  return median(of('ours', 'longestProfile')) - median(of('off', 'longestProfile'));
}

export const bench = {
  title: 'Blocks of the event loop',
  about:
    'a loop of tasks of 0.3 ms under 1,000 labels, with garbage collections and new code, and four ' +
    "profiles taken and encoded; CPU of the main thread a turn, beyond a typical turn's. The start " +
    'of the profiler is left out. Collections make long turns without any profiler; what ours does ' +
    'itself (drain and code events of one turn) is in the last row.',
  remark:
    'Without a profiler there is no profile to take: its few turns meanwhile have a collection ' +
    'among them as often as not (0.4 or 3.5 ms), those of the others always, for they make ' +
    'objects. So a miss here by less than a collection, 3 ms, says nothing; the longest slice of ' +
    'ours alone is in the next bench.',
  rounds: 4,
  async run({ rounds, node, peers }) {
    // Pyroscope's profiles are Datadog's: the same engine, taken at moments of its own.
    const modes = ['off', 'ours', ...(peers ? ['datadog', 'inspector'] : [])];
    const options = { node: node.execPath, file: 'event-loop.mjs', args: [SECONDS] };
    const results = await programInTurns(modes, rounds, options);
    const of = (mode, key) => results[mode].map((found) => found[key]);
    return {
      columns: [
        '',
        'longest turn, ms',
        'turns above 1 ms',
        'longest turn while a profile is taken, ms',
      ],
      rows: [
        ...modes.map((mode) => ({
          cells: [
            NAMES[mode],
            show(of(mode, 'longestWork')),
            show(of(mode, 'overWork'), 0),
            show(of(mode, 'longestProfile')),
          ],
          target:
            mode === 'ours'
              ? atMost(overOff(of), 1, 'ms over no profiler while a profile is taken')
              : undefined,
        })),
        {
          cells: [
            `${NAMES.ours}: drain and code events`,
            show(of('ours', 'longestOwn'), 2),
            '',
            '',
          ],
          target: atMost(median(of('ours', 'longestOwn')), 1, 'ms'),
        },
      ],
    };
  },
};

void runAsProgram(import.meta.url);
