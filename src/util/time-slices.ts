/** Work in slices, between which the application's events have their turn. */
import { setImmediate } from 'node:timers';

/** Length of a slice in nanoseconds; the step that is under way then is finished. */
const SLICE_NANOS = 500_000n;
/** Bytes that `joined` copies in one step. */
const STEP_BYTES = 65_536;

/** Does work whose steps take microseconds; resolves to what it returns. The first slice comes later. */
export async function inSlices<Result>(work: Generator<void, Result>): Promise<Result> {
  for (;;) {
    await nextTurn();
    const end = sliceEnd();
    do {
      const step = work.next();
      if (step.done === true) return step.value;
    } while (process.hrtime.bigint() < end);
  }
}

/** Works that wait for their next slice: one of them has it in each turn, however many there are. */
const waiting: (() => void)[] = [];

/** Resolves when the caller may do its next slice, in the next turn of the event loop or later. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    // Not that of timers/promises, which costs several times as much.
    if (waiting.push(resolve) === 1) setImmediate(serveNext);
  });
}

function serveNext(): void {
  const next = waiting.shift();
  if (waiting.length > 0) setImmediate(serveNext);
  next?.();
}

/** When a slice that begins now ends, in nanoseconds of `process.hrtime.bigint()`. */
export function sliceEnd(): bigint {
  // Not performance.now(), for which Node.js loads a module that takes it 2 ms.
  return process.hrtime.bigint() + SLICE_NANOS;
}

/** The same at once. */
export function atOnce<Result>(work: Generator<void, Result>): Result {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

/** The parts, one after the other. */
export function* joined(parts: readonly Uint8Array[]): Generator<void, Buffer> {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  // Memory that the system gives when it is written, not filled with zeros before.
  const whole = Buffer.allocUnsafeSlow(length);
  let at = 0;
  let copied = 0;
  for (const part of parts) {
    for (let begin = 0; begin < part.length; begin += STEP_BYTES) {
      const piece = part.subarray(begin, begin + STEP_BYTES);
      whole.set(piece, at);
      at += piece.length;
      copied += piece.length;
      if (copied < STEP_BYTES) continue;
      copied = 0;
      yield;
    }
  }
  return whole;
}
