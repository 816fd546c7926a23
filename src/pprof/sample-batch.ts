/** Samples of one thread, in the form in which a profile is built from them. */
import type { Labels } from '../util/labels.js';

/** Samples as the native side adds them up, with resolved label ids. */
export interface SampleBatch {
  /** The name of function `i` at `2 * i`, its URL ('' for none) at `2 * i + 1`. */
  readonly names: readonly string[];
  /** The 1-based line where function `i` starts, 0 for unknown. */
  readonly startLines: Uint32Array;
  /** The 1-based column where function `i` starts, 0 for unknown. */
  readonly startColumns: Uint32Array;
  /** The number of the source map that came with function `i`'s script, 0 for none. */
  readonly sourceMaps?: Uint32Array;
  /** The function of frame `i` at `2 * i`, its 1-based line (0 for unknown) at `2 * i + 1`. */
  readonly frames: Uint32Array;
  /** The 1-based column of frame `i`, 0 for unknown. */
  readonly frameColumns?: Uint32Array;
  /** Records of a weight, the number n of frames, a label id, and n frame numbers, leaf first. */
  readonly stacks: Uint32Array;
  /** Labels by label id, always the same object for the same set; undefined for none. */
  readonly labels: LabelsById;
}

/** A Map, or an object that creates labels when they are needed. */
export interface LabelsById {
  get(id: number): Labels | undefined;
}
