/**
 * Loaded first by `otelpyroscope attach` into the process that it profiles: loads the rest in parts,
 * between which the event loop of the process runs.
 */
/* eslint-disable @typescript-eslint/no-require-imports */
import type * as InTarget from './in-target.js';

/** Changes with what this and `in-target.ts` export: the process may have another version. */
export const PROTOCOL = 2;

/** Each takes a few milliseconds; what is required later needs those before. */
const PARTS: readonly (() => unknown)[] = [
  () => require('../options/options.js') as unknown,
  () => require('../labels/label-set.js') as unknown,
  () => require('../labels/active-labels.js') as unknown,
  () => require('../otel/running-program.js') as unknown,
  () => require('../pprof/profile-builder.js') as unknown,
  () => require('../source-maps/source-maps.js') as unknown,
  () => require('../addon/loader.js') as unknown,
  () => require('../profiler/cpu-profiler.js') as unknown,
];

/** Loads a part; returns whether there is another one. */
export function loadPart(index: number): boolean {
  PARTS[index]?.();
  return index + 1 < PARTS.length;
}

export function inTarget(): typeof InTarget {
  return require('./in-target.js') as typeof InTarget;
}
