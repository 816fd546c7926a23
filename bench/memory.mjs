/** Measures the memory of a profiler, and the size of its profiles. */

import { runAsProgram } from './as-program.mjs';
import { inTurns, NAMES, PEERS, program, runVariant, show } from './measure.mjs';
import { startSink } from './sink.mjs';

const MIB = 1 << 20;

async function measure(mode, node) {
  const sink = await startSink();
  try {
    return await runVariant(['--expose-gc', program('memory.mjs'), mode], {
      node: node.execPath,
      env: { BENCH_SINK: sink.url },
    });
  } finally {
    sink.close();
  }
}

export const bench = {
  title: 'Memory and profiles',
  about:
    'TypeScript transpiling for 4.5 s of CPU under 200 labels, three profiles taken; resident memory ' +
    'after a collection of garbage, the most there was, and the size of one profile of 1.5 s as it ' +
    "would be uploaded. Pyroscope takes its profiles at moments of its own: theirs are Datadog's.",
  rounds: 2,
  async run({ rounds, node, peers }) {
    const modes = ['off', 'ours', ...(peers ? PEERS : [])];
    const results = await inTurns(
      Object.fromEntries(modes.map((mode) => [mode, () => measure(mode, node)])),
      rounds,
    );
    const of = (mode, key, unit) => results[mode].map((found) => found[key] / unit);
    const hasSize = (mode) => of(mode, 'bytes', 1).every((bytes) => bytes > 0);
    return {
      columns: ['', 'resident, MiB', 'most, MiB', 'profile, KiB'],
      rows: modes.map((mode) => ({
        cells: [
          NAMES[mode],
          show(of(mode, 'rss', MIB), 0),
          show(of(mode, 'most', MIB), 0),
          hasSize(mode) ? show(of(mode, 'bytes', 1_024), 0) : '–',
        ],
      })),
    };
  },
};

void runAsProgram(import.meta.url);
