/** Measures the cost of profiling from the start, and for how long the start itself blocks. */

import { runAsProgram } from './as-program.mjs';
import {
  atMostPercent,
  inTurns,
  median,
  NAMES,
  paired,
  PEERS,
  program,
  runVariant,
  show,
  showPercent,
} from './measure.mjs';

const OWN = { drainNanos: 'drain', jitEventNanos: 'code events', handlerNanos: 'handler' };

/** Limits of the CPU beyond no profiler, in percent, and of the two starts, in milliseconds. */
const LIMITS = { load: 5, small: 15, large: 60 };

export const bench = {
  title: 'Start-up',
  about:
    'loading TypeScript, express and fastify and transpiling a file, profiled from before it on: CPU ' +
    'of the process. And for how long the start of a profiler blocks (CPU of the main thread), in a ' +
    'small process and in one with TypeScript loaded.',
  remark:
    "V8's code events are not listened to, which alone would cost 9 % of the instructions. What " +
    'is left is what V8 does to keep detailed source positions, and the first reads of code that no ' +
    "sample had met before, in the drain. The index of Node.js's own functions is made a second " +
    'after the start, or when the first profile is collected, by a thread of its own that takes ' +
    'some 10 ms for it: this process has ended by then.',
  rounds: 9,
  async run({ rounds, node, peers }) {
    const profilers = ['ours', ...(peers ? PEERS : [])];
    const cases = [
      'off load',
      ...profilers.flatMap((mode) => [`${mode} load`, `${mode} small`, `${mode} large`]),
    ];
    const one = (name) =>
      runVariant([program('start-up.mjs'), ...name.split(' ')], { node: node.execPath });
    const results = await inTurns(
      Object.fromEntries(cases.map((name) => [name, () => one(name)])),
      rounds,
    );
    const of = (mode, what) => results[`${mode} ${what}`].map(({ millis }) => millis);
    const own = Object.entries(OWN).map(([key, name]) => {
      const millis = results['ours load'].map(({ metrics }) => metrics[key] / 1e6);
      return `${name} ${show(millis)} ms`;
    });
    const over = (mode) => paired(of(mode, 'load'), of('off', 'load'));
    const { load, small, large } = LIMITS;
    const starts = ['small', 'large'].every((what) => median(of('ours', what)) <= LIMITS[what]);
    const { text, met } = atMostPercent(over('ours'), load);
    const target = { text: `${text}, start ≤ ${small} and ${large} ms`, met: met && starts };
    return {
      columns: [
        '',
        'loading, ms of CPU',
        'over no profiler',
        'start blocks, small process, ms',
        'start blocks, TypeScript loaded, ms',
      ],
      rows: [
        { cells: [NAMES.off, show(of('off', 'load'), 0), '', '', ''] },
        ...profilers.map((mode) => ({
          cells: [
            NAMES[mode],
            show(of(mode, 'load'), 0),
            showPercent(over(mode)),
            show(of(mode, 'small')),
            show(of(mode, 'large')),
          ],
          target: mode === 'ours' ? target : undefined,
        })),
      ],
      notes: [`Of ours, while loading: ${own.join(', ')}.`],
    };
  },
};

void runAsProgram(import.meta.url);
