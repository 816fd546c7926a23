/** The profiler that users start, collect from and stop. */
import { activeLabels } from '../labels/active-labels.js';
import { ProfilerError } from '../util/errors.js';
import {
  resolveCpuProfilerOptions,
  type CpuProfilerOptions,
  type ResolvedCpuProfilerOptions,
} from '../options/options.js';
import { warnOnce } from '../util/diagnostics.js';
import { refusedClock, type ClockInUse } from '../util/sample-clock.js';
import { profileWindows, type ProfileWindow } from './profile-windows.js';

// A profile covers all threads that have loaded the package, whichever starts it.
profileWindows.join();

/** Counts of this thread's sampler since it started; plain numbers. */
export interface ProfilerMetrics {
  /**
   * The clock in use, after `stop()` the one until then: `tick` also in the first milliseconds, and
   * where the system refuses another.
   */
  clock: ClockInUse;
  /**
   * Why the clock that was asked for is not in use: the system's message, or `seccomp` where `auto`
   * has not tried `perf`; else empty.
   */
  clockRefusal: string;
  /** Timer signals at which a sample was due. */
  signals: number;
  /** Samples recorded and added to a profile; one stands for one or more intervals. */
  samples: number;
  /** Samples for which there was no room; their CPU is in the profile as `(dropped samples)`. */
  droppedSamples: number;
  /** Stacks deeper than `maxFrames`, cut at the root end. */
  truncatedStacks: number;
  /** Samples taken under a label. */
  labelledSamples: number;
  /** Samples older than a change of V8's heap: only code that has certainly not moved is named. */
  staleSamples: number;
  /** Frames whose address belongs to no known function. */
  unresolvedFrames: number;
  /** Inlined frames recovered. */
  inlinedFrames: number;
  /**
   * Samples in `(own or inlined code)`: V8 does not tell which inlined function ran. Of Maglev's code
   * in Node.js before 24.20 only.
   */
  unknownInlined: number;
  /** Failed self-checks of V8's memory layout; each leaves a frame as it was. */
  layoutFallbacks: number;
  /** Code ranges known: of functions that samples have hit. */
  codeEntries: number;
  /** Memory of these ranges, in bytes, roughly. */
  codeBytes: number;
  /** Label sets of spans that have not ended. */
  activeLabelSets: number;
  /** Label sets lost to the limit of the table, since the package was loaded. */
  droppedLabelSets: number;
  /**
   * Files whose source map was left out of a profile: it was broken, over a limit, or not read in
   * time. Their names, files and lines are the compiled ones there.
   */
  skippedSourceMaps: number;
  /** Time in the signal handler, in nanoseconds. */
  handlerNanos: number;
  /** CPU time turning samples into stacks, in nanoseconds. */
  drainNanos: number;
  /** Time recording V8's code events, in nanoseconds; 0 if they are not listened to. */
  jitEventNanos: number;
}

/**
 * Takes CPU profiles of the process, in pprof format, with the current labels in every sample.
 *
 * A profile contains all threads that have loaded the package, before or after `start()`; samples
 * of workers have the label `thread_name`. The CPU of all other threads of the process is in it as
 * `(other threads)`. Any number of profilers may run at once, in any threads, each with a window of
 * its own; they share one sampler in each thread.
 */
export class CpuProfiler {
  readonly #options: ResolvedCpuProfilerOptions;
  #window: ProfileWindow | undefined;

  /** Throws a TypeError or RangeError that names a wrong option. */
  constructor(options?: CpuProfilerOptions) {
    this.#options = resolveCpuProfilerOptions(options);
  }

  /** Whether `start()` was called and `stop()` was not. */
  get running(): boolean {
    return this.#window !== undefined;
  }

  /**
   * Begins to sample. Where V8's heap cannot be read (ARCHITECTURE, "Whose code it is"), the first
   * call blocks while V8 lists all its code.
   * Throws a ProfilerError: ERR_ALREADY_STARTED; ERR_UNSUPPORTED_PLATFORM (not Node.js on Linux);
   * ERR_NATIVE_MISSING (no binary for this ABI and libc); ERR_TIMER_REFUSED (the kernel or a
   * sandbox forbids it).
   */
  start(): void {
    if (this.#window !== undefined) {
      throw new ProfilerError('ERR_ALREADY_STARTED', 'this profiler has been started already');
    }
    this.#window = profileWindows.open(this.#options);
  }

  /**
   * Resolves to the gzipped pprof profile of the time since `start()` or the last `collect()`;
   * sampling goes on. Waits up to a second for threads that are busy with something else. Rejects
   * with a ProfilerError: ERR_NOT_STARTED.
   */
  async collect(): Promise<Uint8Array> {
    const window = this.#runningWindow();
    this.#warnOfClock();
    return profileWindows.collect(window);
  }

  /**
   * Ends sampling at once and resolves to the last window, as `collect()` does. Rejects with a
   * ProfilerError: ERR_NOT_STARTED. The profiler can be started again.
   */
  async stop(): Promise<Uint8Array> {
    const window = this.#runningWindow();
    this.#warnOfClock();
    this.#window = undefined;
    return profileWindows.close(window);
  }

  /** Counts of this thread's sampler since it was started; zeros before the first start. */
  metrics(): ProfilerMetrics {
    return {
      clock: 'tick',
      clockRefusal: '',
      signals: 0,
      samples: 0,
      droppedSamples: 0,
      truncatedStacks: 0,
      labelledSamples: 0,
      staleSamples: 0,
      unresolvedFrames: 0,
      inlinedFrames: 0,
      unknownInlined: 0,
      layoutFallbacks: 0,
      codeEntries: 0,
      codeBytes: 0,
      skippedSourceMaps: 0,
      handlerNanos: 0,
      drainNanos: 0,
      jitEventNanos: 0,
      ...profileWindows.metrics(),
      activeLabelSets: activeLabels.activeLabelSets,
      droppedLabelSets: activeLabels.droppedLabelSets,
    };
  }

  /** Says once why the clock that was asked for is not in use. */
  #warnOfClock(): void {
    const { clock } = this.#options;
    const refusal = refusedClock(clock, this.metrics());
    if (refusal !== undefined) warnOnce(`clock-${clock}`, refusal);
  }

  #runningWindow(): ProfileWindow {
    if (this.#window === undefined) {
      throw new ProfilerError('ERR_NOT_STARTED', 'this profiler has not been started');
    }
    return this.#window;
  }
}
