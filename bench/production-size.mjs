/** Measures for how long a profiler blocks the event loop of a large process. */

import { runAsProgram } from './as-program.mjs';
import { buildMappings, MAPPINGS } from './mappings.mjs';
import { inTurns, median, NAMES, program, runVariant, show } from './measure.mjs';

const SECONDS = 3;

/** Limits in milliseconds of CPU; `idle` in milliseconds per second. */
const LIMITS = { firstStart: 10, laterStart: 5, work: 5, profile: 5, idle: 0.1 };

/** Sizes of the process, by the name of the row; see programs/big-process.mjs. */
const SIZES = {
  'small process': {},
  'heap of 0.6 GB': { heapMegabytes: 600 },
  'heap of 1.6 GB': { heapMegabytes: 1_600 },
  '20,000 functions': { functions: 20_000 },
  '40,000 mappings': { mappings: 40_000 },
  'all of it': { heapMegabytes: 1_600, functions: 20_000, mappings: 40_000 },
};
const FLAGS = ['--expose-gc', '--max-old-space-size=6144'];

const MODES = ['off', 'ours'];

export const bench = {
  title: 'Production size',
  about:
    'a process with a large heap, many functions or many memory mappings that answers its own ' +
    '`fetch`, which is WebAssembly in Node.js, and runs tasks of 0.3 ms with WebAssembly, new code ' +
    "and 1,000 labels. The longest turn of the event loop beyond a typical one's, in milliseconds of " +
    'CPU of the main thread without the pauses of garbage collections: at work, and while a profile ' +
    'is taken and encoded; and of the first start of a profiler in the process and a later one, ' +
    'beside nothing else. Then the CPU of the process while it does nothing, in the quietest of six ' +
    'seconds. The targets are for what is above the same process without profiler.',
  rounds: 2,
  async run({ rounds, node }) {
    const env = { [MAPPINGS]: await buildMappings() };
    const one = (mode, size) => () =>
      runVariant(
        [...FLAGS, program('production-size.mjs'), mode, JSON.stringify(SIZES[size]), SECONDS],
        { node: node.execPath, env },
      );
    const results = {};
    for (const size of Object.keys(SIZES)) {
      const variants = Object.fromEntries(MODES.map((mode) => [mode, one(mode, size)]));
      results[size] = await inTurns(variants, rounds);
    }
    const of = (size, mode, key) => results[size][mode].map((found) => found[key]);
    const over = (size, key) => median(of(size, 'ours', key)) - median(of(size, 'off', key));
    const target = (size) => ({
      text: `≤ ${LIMITS.firstStart} ms, then ≤ ${LIMITS.work} ms; idle ≤ ${LIMITS.idle}`,
      met: Object.entries(LIMITS).every(([key, limit]) => over(size, key) <= limit),
    });
    return {
      columns: [
        '',
        'first start, ms',
        'later start, ms',
        'at work, ms',
        'taking a profile, ms',
        'idle, ms a second',
      ],
      rows: Object.keys(SIZES).flatMap((size) =>
        MODES.map((mode) => ({
          cells: [
            `${size}: ${NAMES[mode]}`,
            show(of(size, mode, 'firstStart')),
            show(of(size, mode, 'laterStart')),
            show(of(size, mode, 'work')),
            show(of(size, mode, 'profile')),
            show(of(size, mode, 'idle'), 2),
          ],
          target: mode === 'ours' ? target(size) : undefined,
        })),
      ),
    };
  },
};

void runAsProgram(import.meta.url);
