/** The CPU time of one thread without the kernel's delay, for slices of less than a tick. */

import { thisThreadNanos } from '../test/support/thread-cpu.mjs';

export { processMicros } from '../test/support/thread-cpu.mjs';

/**
 * CPU time of the calling thread in nanoseconds, good to about 10 µs, which is what it costs.
 * The file is up to a kernel tick late, but getrusage() brings the account of its caller up to
 * date (task_sched_runtime in kernel/sched/core.c).
 */
export function threadNanos() {
  process.cpuUsage();
  return thisThreadNanos();
}

/** What a turn may use beyond an empty one and still count as empty: the clock's own noise. */
const NOISE_NANOS = 10_000;

async function sliceOfTurn(begin) {
  const before = threadNanos();
  begin?.();
  await new Promise(setImmediate);
  return threadNanos() - before;
}

/** What a turn of the event loop costs in which nothing happens but the measuring. */
export async function emptyTurnNanos(turns = 200) {
  const slices = [];
  for (let i = 0; i < turns; i++) slices.push(await sliceOfTurn());
  return slices.sort((a, b) => a - b)[turns >> 1];
}

/**
 * Calls `act` and turns the event loop over until its promise has settled; measures what the turns
 * have used beyond `emptyNanos`, from the call on: all that others do in them, without what this
 * loop does.
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
