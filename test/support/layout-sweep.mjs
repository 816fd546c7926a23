/** Runs a known program with entries of the table of V8's offsets made wrong, one in each process. */

import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { messageOf, runNode } from './run-child.mjs';
import { testingBuild } from './testing-build.mjs';

const program = fileURLToPath(
  new URL('../integration/fixtures/frames/shifted.mjs', import.meta.url),
);

/** CPU that may be of frames without a name: a part, and a few samples of the last code to be found. */
const UNRESOLVED_LIMIT = 0.05;
const FEW_SAMPLES_NANOS = 20e6;

/**
 * The result of a shift. `right`: inlined functions are told apart. `plain`: nothing is wrong,
 * and the table was not needed or is not used. `fallback`: the same, and it is counted. All else is
 * a fault: `wrong`, with names, lines or labels; `unresolved`; `crash`; `lost`: no samples.
 *
 * @typedef {'right' | 'plain' | 'fallback' | 'wrong' | 'unresolved' | 'crash' | 'lost'} Outcome
 * @typedef {{ name: string, shift: number, outcome: Outcome, details: string }} Result
 */

/** @returns {Outcome} */
function outcomeOf({ lastNanos, lastUnresolved, wrong, metrics }) {
  if (lastNanos === 0) return 'lost';
  if (Object.keys(wrong).length > 0) return 'wrong';
  if (lastUnresolved > UNRESOLVED_LIMIT * lastNanos + FEW_SAMPLES_NANOS) return 'unresolved';
  if (metrics.layoutFallbacks > 0) return 'fallback';
  return metrics.inlinedFrames > 0 ? 'right' : 'plain';
}

/** The names of the table's entries, in its order. */
export async function layoutEntries() {
  const { binary } = await testingBuild();
  const addon = createRequire(import.meta.url)(binary);
  const names = [];
  for (;;) {
    const name = addon.shiftLayoutForTest(names.length, 0);
    if (name === '') return names;
    names.push(name);
  }
}

/**
 * @param {{ entry: number, name: string, shift: number }[]} shifts
 * @param {number} seconds CPU time of each process.
 * @returns {Promise<Result[]>} In the order of `shifts`.
 */
export async function sweepLayout(shifts, seconds) {
  const { root, binary } = await testingBuild();
  /** @type {Result[]} */
  const results = [];
  const runOne = async ({ entry, name, shift }) => {
    try {
      const report = await messageOf(
        runNode([program, root, binary, entry, shift, seconds].map(String), { timeoutMs: 60_000 }),
      );
      return { name, shift, outcome: outcomeOf(report), details: JSON.stringify(report) };
    } catch (error) {
      return { name, shift, outcome: 'crash', details: String(error) };
    }
  };
  let next = 0;
  const worker = async () => {
    for (let i = next++; i < shifts.length; i = next++) results[i] = await runOne(shifts[i]);
  };
  await Promise.all([worker(), worker()]);
  return results;
}

export const isFault = ({ outcome }) => !['right', 'plain', 'fallback'].includes(outcome);
