/** Work in slices, between which the event loop runs. */
import { inNextTurn, monotonicNanos } from './clock.js';

/** Length of a slice in nanoseconds; its last step may end later. */
const SLICE_NANOS = 500_000n;
/** Bytes that `joined` copies in one step. */
const STEP_BYTES = 65_536;

/** Does work in steps of microseconds; resolves to its result. The first slice runs later. */
export async function inSlices<Result>(work: Generator<void, Result>): Promise<Result> {
  for (;;) {
    await nextTurn();
    const end = sliceEnd();
    do {
      const step = work.next();
      if (step.done === true) return step.value;
    } while (monotonicNanos() < end);
  }
}

/** Pieces of work that wait for a slice: one runs in each turn of the event loop. */
const waiting: (() => void)[] = [];

/** Resolves when the caller may run its next slice, in the next turn of the event loop or later. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    // setImmediate of timers/promises costs several times as much.
    if (waiting.push(resolve) === 1) inNextTurn(serveNext);
  });
}

function serveNext(): void {
  const next = waiting.shift();
  if (waiting.length > 0) inNextTurn(serveNext);
  next?.();
}

/** Returns the end of a slice that begins now, in nanoseconds of `monotonicNanos`. */
export function sliceEnd(): bigint {
  return monotonicNanos() + SLICE_NANOS;
}

/** Does all of the work now and returns its result. */
export function atOnce<Result>(work: Generator<void, Result>): Result {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

/** Concatenates the parts. */
export function* joined(parts: readonly Uint8Array[]): Generator<void, Buffer> {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  // Not filled with zeros: the system provides the memory when it is written.
  const whole = Buffer.allocUnsafeSlow(length);
  let offset = 0;
  let copied = 0;
  for (const part of parts) {
    for (let begin = 0; begin < part.length; begin += STEP_BYTES) {
      const piece = part.subarray(begin, begin + STEP_BYTES);
      whole.set(piece, offset);
      offset += piece.length;
      copied += piece.length;
      if (copied < STEP_BYTES) continue;
      copied = 0;
      yield;
    }
  }
  return whole;
}
