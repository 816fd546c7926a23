/** Measures the cost to take and encode a profile. */

import { runAsProgram } from './as-program.mjs';
import { atMost, median, NAMES, programInTurns, show } from './measure.mjs';

const WINDOWS = 2;
/** Milliseconds: 0.1 % of the CPU of a window, and twice that for the first of a process. */
const CPU_LIMITS = { first: 30, second: 15 };
/** Milliseconds; a collection of V8's takes as long. */
const SLICE_LIMIT = 5;

export const bench = {
  title: 'Collect and encode',
  about:
    'windows of 1,500 samples (as 15 s at 100 Hz have) under 1,000 span ids, from ten kinds of work; ' +
    'CPU of the main thread until the gzipped profile is there, and its longest slice without a turn ' +
    'of the event loop. The second window: once the code that encodes has run before. The targets ' +
    'are 0.1 % of the CPU of a window, and 0.2 % of the first; slices as long as a collection.',
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
      const cpuLimit = CPU_LIMITS[name];
      const cpu = pick(mode, which, 'cpu');
      const longest = pick(mode, which, 'longest');
      const met = median(cpu) <= cpuLimit && median(longest) <= SLICE_LIMIT;
      const text = `${atMost(0, cpuLimit, 'ms').text} in slices ${atMost(0, SLICE_LIMIT, 'ms').text}`;
      const kilobytes = pick(mode, which, 'bytes').map((bytes) => bytes / 1024);
      return {
        cells: [`${NAMES[mode]}, ${name} window`, show(cpu), show(longest), show(kilobytes, 0)],
        target: mode === 'ours' ? { text, met } : undefined,
      };
    };
    return {
      columns: ['', 'CPU, ms', 'longest slice, ms', 'profile, KiB'],
      rows: modes.flatMap((mode) => [
        row(mode, 'first', (windows) => windows.slice(0, 1)),
        row(mode, 'second', (windows) => windows.slice(1)),
      ]),
    };
  },
};

void runAsProgram(import.meta.url);
