/** Measures the CPU time of one thread in slices of less than a kernel tick. */

import { threadNanos } from '../test/support/thread-cpu.mjs';

export { processMicros, threadNanos } from '../test/support/thread-cpu.mjs';

/** CPU that a turn counted as empty may use beyond an empty one: the noise of the clock. */
const NOISE_NANOS = 10_000;

async function sliceOfTurn(begin) {
  const before = threadNanos();
  begin?.();
  await new Promise(setImmediate);
  return threadNanos() - before;
}

/** Returns the CPU of a turn of the event loop in which only the measuring runs. */
export async function emptyTurnNanos(turns = 200) {
  const slices = [];
  for (let i = 0; i < turns; i++) slices.push(await sliceOfTurn());
  return slices.sort((a, b) => a - b)[turns >> 1];
}

/**
 * Calls `act` and runs turns of the event loop until its promise has settled. Measures the CPU of
 * these turns beyond `emptyNanos`: that of all other work in them, without this loop's own.
 *
 * @template T
 * @param {() => Promise<T>} act
 * @param {number} emptyNanos
 * @returns {Promise<{ result: T, turns: number, totalNanos: number, longestNanos: number }>}
 */
export async function measureTurns(act, emptyNanos) {
  let settled = false;
  let promise;
  let begin = () => {
    const settle = () => (settled = true);
    promise = act();
    promise.then(settle, settle);
  };
  const measured = { turns: 0, totalNanos: 0, longestNanos: 0 };
  do {
    const nanos = (await sliceOfTurn(begin)) - emptyNanos;
    begin = undefined;
    measured.turns += 1;
    if (nanos < NOISE_NANOS) continue;
    measured.totalNanos += nanos;
    measured.longestNanos = Math.max(measured.longestNanos, nanos);
  } while (!settled);
  return { result: await promise, ...measured };
}
