/** How much of the CPU time of some work is in its longest turn of the event loop. */

import { thisThreadNanos } from './thread-cpu.mjs';

/**
 * Does the work, and resolves to its result, the number of turns of the event loop that it took, and
 * the part of its CPU time, from 0 to 1, that its longest turn had.
 *
 * A collection may fall into any turn, so it is done up to three times, and the best counts.
 *
 * @template T
 * @param {() => T | Promise<T>} work
 */
export async function longestTurn(work) {
  let best;
  for (let i = 0; i < 3 && !(best?.part < 0.1); i++) {
    const found = await measure(work);
    if (best === undefined || found.part < best.part) best = found;
  }
  return best;
}

async function measure(work) {
  await new Promise((resolve) => setImmediate(resolve));
  let turns = 0;
  let longest = 0;
  let isDone = false;
  let last = thisThreadNanos();
  const begin = last;
  const count = () => {
    const now = thisThreadNanos();
    longest = Math.max(longest, now - last);
    last = now;
    turns++;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  const result = await work();
  await new Promise((resolve) => setImmediate(resolve));
  isDone = true;
  const total = thisThreadNanos() - begin;
  return { result, turns, part: longest / total, totalMs: total / 1e6 };
}
