/** Work in slices, between which the application's events have their turn. */
import { setImmediate } from 'node:timers/promises';

/** Length of a slice in milliseconds; the step that is under way then is finished. */
const SLICE_MS = 0.5;

/** Does work whose steps take microseconds; resolves to what it returns. The first slice comes later. */
export async function inSlices<Result>(work: Generator<void, Result>): Promise<Result> {
  for (;;) {
    await setImmediate();
    const end = performance.now() + SLICE_MS;
    do {
      const step = work.next();
      if (step.done === true) return step.value;
    } while (performance.now() < end);
  }
}

/** The same at once. */
export function atOnce<Result>(work: Generator<void, Result>): Result {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}
