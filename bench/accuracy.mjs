/** Measures the accuracy of profiles: inlined functions, bursts, labels, all of the CPU. */

import { readAnyProfile } from './any-profile.mjs';
import { runAsProgram } from './as-program.mjs';
import { inTurns, median, NAMES, PEERS, program, runVariant, show } from './measure.mjs';
import { startSink } from './sink.mjs';

const sum = (samples) => samples.reduce((total, { micros }) => total + micros, 0);

/** Returns the profile's numbers as percents of the truth. */
function judge(mode, { truth, total, samples }) {
  const within = (name) => samples.filter(({ names }) => names.includes(name));
  const leaf = within('leafCaller').filter(
    ({ names }) => !names.includes('burnRed') && !names.includes('burnBlue'),
  );
  const bursts = Object.keys(truth).filter((name) => name.startsWith('burst'));
  const trueBursts = bursts.reduce((all, name) => all + truth[name], 0);
  const found = Object.fromEntries(bursts.map((name) => [name, sum(within(name))]));
  const foundBursts = bursts.reduce((all, name) => all + found[name], 0);
  const wrong = bursts.reduce(
    (all, name) => all + Math.abs(found[name] / (foundBursts || 1) - truth[name] / trueBursts) / 2,
    0,
  );
  const red = within('burnRed');
  const blue = within('burnBlue');
  const right = (list, colour) => sum(list.filter(({ labels }) => labels.colour === colour));
  const labelled = right(red, 'red') + right(blue, 'blue');
  return {
    leaf: 100 * (sum(leaf.filter(({ names }) => names[0] === 'inlinedLeaf')) / (sum(leaf) || 1)),
    bursts: 100 * (foundBursts / trueBursts),
    shares: 100 * wrong,
    labels: mode === 'inspector' ? undefined : 100 * (labelled / (sum(red) + sum(blue) || 1)),
    total: 100 * (sum(samples) / total),
  };
}

async function measure(mode, node) {
  const sink = await startSink();
  try {
    const env = { BENCH_SINK: sink.url };
    const { profile, ...truth } = await runVariant([program('accuracy.mjs'), mode], {
      node: node.execPath,
      env,
    });
    const files = profile === undefined ? sink.bodies : [Buffer.from(profile, 'base64')];
    const samples = files.flatMap((file) => readAnyProfile(mode, file));
    return judge(mode, { ...truth, samples });
  } finally {
    sink.close();
  }
}

const within = (value, low, high) => value >= low && value <= high;

export const bench = {
  title: 'Accuracy',
  about:
    'work of known CPU, in one profile at 100 Hz. Inlined leaf: how much of the CPU of a hot function ' +
    'that V8 inlines stands under its own name. Bursts: a service busy for 12 % in bursts of 0.7 to ' +
    '2.8 ms, how much of its CPU is found, and how far the shares of its four functions are off (by ' +
    'chance alone about 5 points). Labels: two async contexts in turns, how much of their CPU has the right ' +
    "one; Pyroscope's calls, and Datadog's on Node.js 20, label only the synchronous part of one. " +
    'All: the profile beside `process.cpuUsage()`, with garbage and the thread pool. ' +
    '`node:inspector` has only wall-clock time: all but `(idle)` is taken for CPU.',
  key: true,
  rounds: 2,
  async run({ rounds, node, peers }) {
    const modes = ['ours', ...(peers ? PEERS : [])];
    const results = await inTurns(
      Object.fromEntries(modes.map((mode) => [mode, () => measure(mode, node)])),
      rounds,
    );
    const columns = ['leaf', 'bursts', 'shares', 'labels', 'total'];
    const of = (mode, key) => results[mode].map((found) => found[key]);
    return {
      columns: [
        '',
        'inlined leaf, %',
        'bursts found, %',
        'their shares off by, points',
        'labels right, %',
        'all CPU, %',
      ],
      rows: modes.map((mode) => ({
        cells: [
          NAMES[mode],
          ...columns.map((key) => (of(mode, key)[0] === undefined ? '–' : show(of(mode, key)))),
        ],
        target:
          mode === 'ours'
            ? {
                text: 'leaf, labels ≥ 95, bursts 90 to 110, all 95 to 105',
                met:
                  median(of(mode, 'leaf')) >= 95 &&
                  median(of(mode, 'labels')) >= 95 &&
                  within(median(of(mode, 'bursts')), 90, 110) &&
                  within(median(of(mode, 'total')), 95, 105),
              }
            : undefined,
      })),
    };
  },
};

void runAsProgram(import.meta.url);
