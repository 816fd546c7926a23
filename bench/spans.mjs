/** Measures what labels add to contexts and spans of OpenTelemetry's SDK. */

import { runAsProgram } from './as-program.mjs';
import { median, paired, programInTurns, show } from './measure.mjs';

const OPERATIONS = {
  newRecord: ['`context.with`, other labels', 2.2],
  sameRecord: ['`context.with`, same labels', 1.5],
  root: ['root `startActiveSpan` and `end`', 1.25],
  child: ['child `startActiveSpan` and `end`', 1.1],
};
/** Targets are for this version and later, where V8 itself carries the stores. */
const FIRST_TARGET = 24;

export const bench = {
  title: 'Contexts and spans',
  about:
    "CPU of one operation, and how many times the bare SDK's it is; spans are sampled and not " +
    "exported. Datadog's: the bare SDK, and its `runWithContext` (`setContext` and back where that " +
    'does not work, on Node.js 20) around the callback. The targets are for Node.js 24 and 26, ' +
    'while a profile is taken.',
  remark:
    'With AsyncContextFrame, `AsyncLocalStorage.run()` copies the map of all storages twice, before ' +
    'the callback and after it: that is most of what `context.with` costs without us. The context ' +
    'carries the label id, so there are no others. A root span has two more, at `end()` and when its ' +
    'context is left (300 ns), what is kept of its labels for async contexts that go on (200 ns; as ' +
    'objects, which V8 had to copy and promote, 650), the id in its context (150 ns), the ' +
    'attribute `pyroscope.profile.id` (40 ns), and the label set itself. Tried: identifiers kept as ' +
    'strings, which the collector copies as well, and by native writers, which have to be checked.',
  key: true,
  rounds: 5,
  async run({ rounds, node, peers }) {
    const modes = ['off', 'labels', 'ours', ...(peers ? ['datadog'] : [])];
    const options = { node: node.execPath, file: 'spans.mjs' };
    const results = await programInTurns(modes, rounds, options);
    const of = (mode, name) => results[mode].map((found) => found[name]);
    return {
      columns: [
        '',
        'bare SDK, ns',
        'ours, no profile',
        'ours, profiling',
        ...(peers ? ['@datadog/pprof, profiling'] : []),
      ],
      rows: Object.entries(OPERATIONS).map(([name, [what, limit]]) => {
        const ratios = (mode) => paired(of(mode, name), of('off', name));
        const times = (mode) => `× ${show(ratios(mode), 2)}`;
        return {
          cells: [what, show(of('off', name), 0), ...modes.slice(1).map(times)],
          target:
            node.major >= FIRST_TARGET
              ? { text: `≤ × ${limit}`, met: median(ratios('ours')) <= limit }
              : undefined,
        };
      }),
    };
  },
};

void runAsProgram(import.meta.url);
