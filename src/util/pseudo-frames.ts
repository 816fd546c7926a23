/**
 * The names in parentheses of frames that are no function of the program, as far as TypeScript
 * makes them. Those that the addon makes are in native/names/pseudo_frames.h; in ARCHITECTURE, "What
 * frames are called" says when each appears.
 */

/** CPU time of threads that are not sampled. */
export const OTHER_THREADS = '(other threads)';
/** Replaces stacks, functions and frames for which there is no room. The addon uses the same name. */
export const STACK_TABLE_FULL = '(stack table full)';
/** Replaces the stacks that do not fit into one upload. */
export const TRIMMED = '(trimmed)';
