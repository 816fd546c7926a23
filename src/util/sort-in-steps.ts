/** Sorts numbers in steps: `Array.prototype.sort` would be one step. */

/** Numbers that are merged in one step. */
const STEP_SORTED = 1_024;

/** Returns the indices of the weights, sorted by weight, the largest first; stable. */
export function* heaviestFirst(weights: Float64Array): Generator<void, Uint32Array> {
  const count = weights.length;
  let from = new Uint32Array(count);
  let to = new Uint32Array(count);
  for (let i = 0; i < count; i++) from[i] = i;
  for (let width = 1; width < count; width *= 2) {
    let steps = 0;
    for (let begin = 0; begin < count; begin += 2 * width) {
      const middle = Math.min(begin + width, count);
      const end = Math.min(begin + 2 * width, count);
      let left = begin;
      let right = middle;
      for (let at = begin; at < end; at++) {
        const isLeft =
          left < middle &&
          (right >= end ||
            (weights[from[left] as number] as number) >=
              (weights[from[right] as number] as number));
        to[at] = from[isLeft ? left++ : right++] as number;
        if (++steps % STEP_SORTED === 0) yield;
      }
    }
    [from, to] = [to, from];
  }
  return from;
}
