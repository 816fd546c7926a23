/** Measures what labels in async contexts add to an await. */

import { runAsProgram } from './as-program.mjs';
import { NAMES, paired, programInTurns, show, spread } from './measure.mjs';

const WAYS = {
  off: 'no store at all',
  profiled: 'no store and no labels, profiling',
  storage: 'one AsyncLocalStorage',
  labels: 'the same, and labels of ours, no profile',
  ours: 'the same, and labels of ours, profiling',
  alone: 'only labels of ours, profiling',
  datadog: `the same, and labels of ${NAMES.datadog}, profiling`,
};

/** A profiler without labels enables no hook. */
const BARE_LIMIT = 1.05;

export const bench = {
  title: 'Await hop',
  about:
    'CPU of one `await` of an async function, beside a program that uses one AsyncLocalStorage, as ' +
    "every traced program does. Met: the target is within the ratio's middle half or above it.",
  remark:
    'Without AsyncContextFrame (Node.js 20 and 22), each storage costs something for every promise, ours as ' +
    'any other: V8 calls JavaScript when one is made, and that hangs the stores on it. The signal handler ' +
    'reads them there, so a profile costs nothing more; labels of spans need no storage of ours. ' +
    "Datadog's labels do not follow an `await` there.",
  key: true,
  rounds: 7,
  async run({ rounds, node, peers }) {
    // Without AsyncContextFrame each storage is copied at every hop.
    const limit = node.major >= 24 ? 1 : 1.35;
    const modes = Object.keys(WAYS).filter((mode) => peers || mode !== 'datadog');
    const options = { node: node.execPath, file: 'await-hop.mjs' };
    const results = await programInTurns(modes, rounds, options);
    const of = (mode) => results[mode].map(({ nanos }) => nanos);
    const targetOf = (mode, ratios) => {
      if (mode === 'profiled') {
        const { low } = spread(paired(of(mode), of('off')));
        return { text: `≤ × ${BARE_LIMIT.toFixed(2)} of no store at all`, met: low <= BARE_LIMIT };
      }
      if (mode !== 'ours' && mode !== 'alone') return undefined;
      return { text: `≤ × ${limit.toFixed(2)}`, met: spread(ratios).low <= limit };
    };
    return {
      columns: ['', 'ns', 'beside one AsyncLocalStorage'],
      rows: modes.map((mode) => {
        const ratios = paired(of(mode), of('storage'));
        return {
          cells: [WAYS[mode], show(of(mode), 0), mode === 'storage' ? '' : `× ${show(ratios, 2)}`],
          target: targetOf(mode, ratios),
        };
      }),
    };
  },
};

void runAsProgram(import.meta.url);
