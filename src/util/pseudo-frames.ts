/**
 * Names of the pseudo-frames that TypeScript makes: frames that are no function of the program. The
 * addon's are in native/names/pseudo_frames.h; "What frames are called" in ARCHITECTURE lists when
 * each appears.
 */

/** CPU time of threads that are not sampled. */
export const OTHER_THREADS = '(other threads)';
/** Replaces stacks, functions and frames beyond a table's limit. The addon uses the same name. */
export const STACK_TABLE_FULL = '(stack table full)';
/** Replaces the stacks beyond the limits of an upload. */
export const TRIMMED = '(trimmed)';
