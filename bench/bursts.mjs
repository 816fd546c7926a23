/** Measures how much of short work a profile shows, and how finely, by each clock. */

import { runAsProgram } from './as-program.mjs';
import { median, programInTurns, show } from './measure.mjs';

const SECONDS = 20;
const CLOCKS = ['tick', 'precise', 'perf'];
/** Milliseconds of a burst, and what ends it. */
const BURSTS = [
  ['1', 'date'],
  ['2', 'date'],
  ['5', 'date'],
  ['1', 'performance'],
];
const END = { date: 'the millisecond turns', performance: 'the time is over' };

/** Returns a row: one number of each clock, and whether perf's reaches its target. */
function row(name, results, key, digits, target) {
  const of = (clock) => results[clock].map((found) => found[key]);
  return {
    cells: [name, ...CLOCKS.map((clock) => show(of(clock), digits))],
    target: { text: `perf: ${target.text}`, met: target.met(median(of('perf'))) },
  };
}

export const bench = {
  title: 'Short bursts, by clock',
  about:
    'bursts of work that a timer starts, under a label: the CPU that the profile shows inside as a ' +
    'fraction of the true one. Bursts that end when the millisecond turns are in step with the ' +
    "scheduler's ticks, at which the clock `tick` takes its samples.",
  rounds: 3,
  async run({ rounds, node }) {
    const measure = (intervalMicros, millis, end) =>
      programInTurns(CLOCKS, rounds, {
        node: node.execPath,
        file: 'bursts.mjs',
        args: [intervalMicros, millis, end, SECONDS],
      });
    const rows = [];
    for (const [millis, end] of BURSTS) {
      const results = await measure(10_000, millis, end);
      const target = { text: '0.97 to 1.05', met: (value) => value >= 0.97 && value <= 1.05 };
      rows.push(row(`${millis} ms, until ${END[end]}`, results, 'inside', 2, target));
    }
    const results = await measure(1_000, '5', 'performance');
    const target = { text: '≥ 900', met: (value) => value >= 900 };
    rows.push(
      row('samples a second of CPU, interval of 1 ms', results, 'samplesPerSecond', 0, target),
    );
    return { columns: ['', ...CLOCKS.map((clock) => `clock \`${clock}\``)], rows };
  },
};

void runAsProgram(import.meta.url);
