/** The error class of this package. */

/** The condition, as a stable string to compare with. */
export type ProfilerErrorCode =
  /** `start()` was called on a running profiler. */
  | 'ERR_ALREADY_STARTED'
  /** `collect()` or `stop()` was called on a profiler that does not run. */
  | 'ERR_NOT_STARTED'
  /** There is no sampler for this platform (macOS, Windows) or runtime (Bun, Deno, Electron). */
  | 'ERR_UNSUPPORTED_PLATFORM'
  /** No native binary was found for this Node ABI and libc. */
  | 'ERR_NATIVE_MISSING'
  /** The kernel or a sandbox forbids CPU timers or their signal. */
  | 'ERR_TIMER_REFUSED';

/** Thrown by set-up calls, or the reason of a promise that they return; not thrown after set-up. */
export class ProfilerError extends Error {
  /** The condition; the message explains it and may change. */
  readonly code: ProfilerErrorCode;

  constructor(code: ProfilerErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ProfilerError';
    this.code = code;
  }
}
