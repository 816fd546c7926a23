/** Measures the cost to take and encode a profile. */

import { runAsProgram } from './as-program.mjs';
import { atMost, median, NAMES, programInTurns, show } from './measure.mjs';

const WINDOWS = 2;
const CPU_LIMIT = 5;
const SLICE_LIMIT = 1;

export const bench = {
  title: 'Collect and encode',
  about:
    'windows of 1,500 samples (as 15 s at 100 Hz have) under 1,000 span ids, from ten kinds of work; ' +
    'CPU of the main thread until the gzipped profile is there, and its longest slice without a turn ' +
    'of the event loop. The second window: once the code that encodes has run before.',
  remark:
    'Slices are cut every half millisecond; longer ones are the first step, which takes ' +
    'the samples from the sampler, and code that V8 compiles meanwhile. Each stack and label set is ' +
    'encoded once. What is left is mostly the trace and span ids, two strings and two labels of ' +
    "pprof-format's for each span, by code that has hardly run yet: in the first window it is the " +
    "interpreter's, and takes some three times as long as once V8 has optimized it.",
  rounds: 2,
  async run({ rounds, node, peers }) {
    const modes = ['ours', ...(peers ? ['datadog', 'inspector'] : [])];
    const options = { node: node.execPath, file: 'collect.mjs', args: [WINDOWS] };
    const results = await programInTurns(modes, rounds, options);
    const pick = (mode, which, key) =>
      results[mode].flatMap(({ windows }) => which(windows).map((window) => window[key]));
    const row = (mode, name, which) => {
      const cpu = pick(mode, which, 'cpu');
      const longest = pick(mode, which, 'longest');
      const met = median(cpu) <= CPU_LIMIT && median(longest) <= SLICE_LIMIT;
      const text = `${atMost(0, CPU_LIMIT, 'ms').text} in slices ${atMost(0, SLICE_LIMIT, 'ms').text}`;
      const kilobytes = pick(mode, which, 'bytes').map((bytes) => bytes / 1024);
      return {
        cells: [`${NAMES[mode]}, ${name}`, show(cpu), show(longest), show(kilobytes, 0)],
        target: mode === 'ours' ? { text, met } : undefined,
      };
    };
    return {
      columns: ['', 'CPU, ms', 'longest slice, ms', 'profile, KiB'],
      rows: modes.flatMap((mode) => [
        row(mode, 'first window', (windows) => windows.slice(0, 1)),
        row(mode, 'second window', (windows) => windows.slice(1)),
      ]),
    };
  },
};

void runAsProgram(import.meta.url);
