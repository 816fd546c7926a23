/** Work in slices, between which the application's events have their turn. */
import { setImmediate } from 'node:timers';

/** Length of a slice in nanoseconds; the step that is under way then is finished. */
const SLICE_NANOS = 500_000n;

/** Does work whose steps take microseconds; resolves to what it returns. The first slice comes later. */
export async function inSlices<Result>(work: Generator<void, Result>): Promise<Result> {
  for (;;) {
    // Not that of timers/promises, which costs several times as much.
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
    // Not performance.now(), for which Node.js loads a module that takes it 2 ms.
    const end = process.hrtime.bigint() + SLICE_NANOS;
    do {
      const step = work.next();
      if (step.done === true) return step.value;
    } while (process.hrtime.bigint() < end);
  }
}

/** The same at once. */
export function atOnce<Result>(work: Generator<void, Result>): Result {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}
