/** The windows of this thread's profilers, with the samples of all threads of the process. */
import { CPU_PROFILE } from '../util/profile-types.js';
import { dateMs, monotonicMs, monotonicNanos, startDeadline } from '../util/clock.js';
import { warn, warnOnce } from '../util/diagnostics.js';
import { ProfilerError } from '../util/errors.js';
import { gzipped, gzippedSync } from '../util/gzip.js';
import type { NativeMetrics } from '../addon/loader.js';
import type { ResolvedCpuProfilerOptions } from '../options/options.js';
import {
  ProfileBuilder,
  type BuilderOptions,
  type ProfileTimes,
} from '../pprof/profile-builder.js';
import type { SampleBatch } from '../pprof/sample-batch.js';
import { threadSingleton } from '../util/thread-singleton.js';
import { atOnce, inSlices } from '../util/time-slices.js';
import { SourceMaps } from '../source-maps/source-maps.js';
import { ForeignLabels, othersBatch, ProfiledThread } from './profiled-thread.js';
import { shownFile, workingDirectory, type FileOf } from './shown-file.js';

/**
 * How long the end of a segment waits for threads that do not return to their event loop, in
 * milliseconds. Their samples go into the next segment; those of the last segment stay in it,
 * without the labels that only the thread's own JavaScript can look up.
 */
const ACKNOWLEDGE_MS = 1_000;
/**
 * How long the last segment then waits for V8 to interrupt them, in milliseconds; V8 cannot
 * interrupt native code.
 */
const INTERRUPT_MS = 250;
/** `ACKNOWLEDGE_MS` for the end of the process, which must not be delayed, in milliseconds. */
const EXIT_ACKNOWLEDGE_MS = 100;

/** Samples in `(own or inlined code)` from which on a warning is given, and their share of all. */
const LEAST_UNKNOWN = 20;
const LEAST_UNKNOWN_SHARE = 0.05;

/** The samples from `start()` or one `collect()` of a profiler to the next. */
class ProfileSegment {
  readonly #builder: ProfileBuilder;
  readonly #foreignLabels = new ForeignLabels();
  readonly #startNanos = BigInt(dateMs()) * 1_000_000n;
  readonly #startClock = monotonicNanos();
  #durationNanos = 0n;

  constructor(options: BuilderOptions) {
    this.#builder = new ProfileBuilder(CPU_PROFILE, options);
  }

  add(batch: SampleBatch): void {
    this.#builder.add(batch);
  }

  /** Adds the samples of other threads: of an ended segment, or so far of the current one (0). */
  addOthers({ native }: ProfiledThread, window: number, segment: number): void {
    const { batches, others } = native.take(window, segment);
    for (const batch of batches) this.add(this.#foreignLabels.resolve(batch));
    if (others > 0) this.add(othersBatch(others));
  }

  end(): void {
    this.#durationNanos = monotonicNanos() - this.#startClock;
  }

  /** Resolves to the gzipped profile, with original names, files and lines if `maps` are given. */
  async encode(periodNanos: number, maps: SourceMaps | undefined): Promise<Uint8Array> {
    await inSlices(this.#builder.merge());
    const originals = await maps?.load(this.#builder.urls(), this.#builder.sourceMaps());
    return gzipped(
      await inSlices(this.#builder.encode({ ...this.#times(periodNanos), originals })),
    );
  }

  /** Does the same without the event loop, and so only with the maps that can be read at once. */
  encodeSync(periodNanos: number, maps: SourceMaps | undefined): Uint8Array {
    atOnce(this.#builder.merge());
    const originals = maps?.loadSync(this.#builder.urls(), this.#builder.sourceMaps());
    return gzippedSync(atOnce(this.#builder.encode({ ...this.#times(periodNanos), originals })));
  }

  #times(periodNanos: number): ProfileTimes {
    return { startNanos: this.#startNanos, durationNanos: this.#durationNanos, periodNanos };
  }
}

/** A segment that has ended, while it waits for the samples of other threads. */
interface EndedSegment {
  /** Whether all threads have delivered their samples. */
  readonly isComplete: () => boolean;
  /** Asks the threads that have not to flush without labels. */
  readonly requestFlushWithoutLabels: () => void;
  /** Returns the segment with all samples that were delivered. */
  readonly take: () => ProfileSegment;
}

/** The window of one CpuProfiler. */
export class ProfileWindow {
  current: ProfileSegment;
  readonly #builderOptions: BuilderOptions;

  constructor(
    readonly id: number,
    readonly intervalMicros: number,
    readonly maps: SourceMaps | undefined,
    lineNumbers: boolean,
    fileOf: FileOf,
  ) {
    this.#builderOptions = { lineNumbers, isMapped: maps !== undefined, fileOf };
    this.current = new ProfileSegment(this.#builderOptions);
  }

  /** Ends the current segment, which it returns, and begins the next. */
  rotate(): ProfileSegment {
    const ended = this.current;
    ended.end();
    this.current = new ProfileSegment(this.#builderOptions);
    return ended;
  }
}

/**
 * The windows of this thread's profilers, and its part in the session. One object per thread, which
 * all copies of the package share.
 */
export class ProfileWindows {
  #thread: ProfiledThread | undefined;
  readonly #windows = new Set<ProfileWindow>();
  /** Conditions that are checked whenever other threads may have delivered samples. */
  readonly #checks = new Set<() => void>();
  readonly #maps = new SourceMaps(undefined, (number) =>
    this.#thread?.native.sourceMapText(number),
  );

  /** Lets this thread be sampled in the windows of other threads, now or later. Never throws. */
  join(): void {
    try {
      this.#thread ??= this.#createThread();
    } catch {
      // There is no binary, or none for this system: start() throws the reason.
    }
  }

  /** Opens a window; starts to sample if it is the first. Throws ProfilerError. */
  open(options: ResolvedCpuProfilerOptions): ProfileWindow {
    const thread = (this.#thread ??= this.#createThread());
    thread.connect();
    thread.flush();
    const opened = thread.native.openWindow(
      options.intervalMicros,
      options.maxFrames,
      options.sourceMaps,
      options.clock,
    );
    if (typeof opened === 'string') {
      thread.joinOrLeaveSession();
      throw new ProfilerError(
        'ERR_TIMER_REFUSED',
        `the system refuses a CPU timer for this thread: ${opened}`,
      );
    }
    const window = new ProfileWindow(
      opened[0] as number,
      opened[1] as number,
      options.sourceMaps ? this.#maps : undefined,
      options.lineNumbers,
      shownFile(options, workingDirectory()),
    );
    this.#windows.add(window);
    if (options.intervalMicros !== window.intervalMicros) {
      warn(
        `intervalMicros ${String(options.intervalMicros)} is ignored: a profiler with ` +
          `${String(window.intervalMicros)} runs already, and all share one sampler`,
      );
    }
    return window;
  }

  collect(window: ProfileWindow): Promise<Uint8Array> {
    return this.#rotate(window, false);
  }

  /** Closes the window; stops sampling if it was the last. */
  close(window: ProfileWindow): Promise<Uint8Array> {
    this.#beginClose(window);
    return this.#rotate(window, true);
  }

  /**
   * `close` for the end of the process, when the event loop runs no more: blocks until the other
   * threads have acknowledged, or the time is up.
   */
  closeSync(window: ProfileWindow): Uint8Array {
    this.#beginClose(window);
    const { isComplete, requestFlushWithoutLabels, take } = this.#endSegment(window, true);
    if (!waitUntilSync(isComplete, EXIT_ACKNOWLEDGE_MS)) {
      requestFlushWithoutLabels();
      waitUntilSync(isComplete, INTERRUPT_MS);
    }
    return take().encodeSync(window.intervalMicros * 1_000, window.maps);
  }

  /** Whether code that interrupts JavaScript anywhere must not open, collect or close windows now. */
  get isBusy(): boolean {
    return this.#thread?.isBusy ?? false;
  }

  /** Counts of this thread's sampler, if it has one, and of the source maps of its profiles. */
  metrics(): Partial<NativeMetrics & { skippedSourceMaps: number }> {
    return { ...this.#thread?.native.metrics(), skippedSourceMaps: this.#maps.skipped };
  }

  async #rotate(window: ProfileWindow, last: boolean): Promise<Uint8Array> {
    const { isComplete, requestFlushWithoutLabels, take } = this.#endSegment(window, last);
    if (!(await this.#waitUntil(isComplete, ACKNOWLEDGE_MS)) && last) {
      requestFlushWithoutLabels();
      await this.#waitUntil(isComplete, INTERRUPT_MS);
    }
    return take().encode(window.intervalMicros * 1_000, window.maps);
  }

  #beginClose(window: ProfileWindow): void {
    this.#thread?.native.beginClose(window.id);
    this.#thread?.joinOrLeaveSession();
  }

  #endSegment(window: ProfileWindow, last: boolean): EndedSegment {
    const thread = this.#thread as ProfiledThread;
    const { native } = thread;
    const [segment, ended] = thread.whileBusy(() => {
      thread.flush();
      warnOfUnknownInlined(native.metrics());
      return [native.rotate(window.id), window.rotate()];
    });
    if (last) this.#windows.delete(window);
    return {
      isComplete: () => native.isComplete(window.id, segment),
      requestFlushWithoutLabels: () => {
        native.requestFlushWithoutLabels(window.id, segment);
      },
      take: () => {
        ended.addOthers(thread, window.id, segment);
        return ended;
      },
    };
  }

  /** Resolves to whether the condition became true before the time was up. */
  async #waitUntil(condition: () => boolean, limitMs: number): Promise<boolean> {
    if (condition()) return true;
    return new Promise((resolve) => {
      const done = (result: boolean): void => {
        stopDeadline();
        this.#checks.delete(check);
        resolve(result);
      };
      const check = (): void => {
        if (condition()) done(true);
      };
      const stopDeadline = startDeadline(
        () => {
          done(false);
        },
        limitMs,
        { keepsAlive: true },
      );
      this.#checks.add(check);
    });
  }

  #createThread(): ProfiledThread {
    const windows = this.#windows;
    return new ProfiledThread({
      get anyOpen() {
        return windows.size > 0;
      },
      add: (batch) => {
        for (const { current } of windows) current.add(batch);
      },
      onDelivered: () => {
        // Takes samples before the segment ends: native code keeps only `kMaxQueuedStacks` of them.
        for (const { current, id } of windows) {
          if (this.#thread !== undefined) current.addOthers(this.#thread, id, 0);
        }
        for (const check of [...this.#checks]) check();
      },
    });
  }
}

/** Says once, where it concerns enough samples, why the functions that ran are not named. */
function warnOfUnknownInlined({ unknownInlined, samples }: NativeMetrics): void {
  if (unknownInlined < LEAST_UNKNOWN || unknownInlined < LEAST_UNKNOWN_SHARE * samples) return;
  warnOnce(
    'unknown-inlined',
    `this Node.js (${process.version}) does not tell which inlined function runs in code of V8's ` +
      'Maglev compiler: its CPU is in the profile as (own or inlined code). Newer ones do (24.20, ' +
      '22.9), and so does this one with --no-maglev-inlining',
  );
}

/** Returns whether the condition became true before the time was up; sleeps meanwhile. */
export function waitUntilSync(condition: () => boolean, limitMs: number): boolean {
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  const end = monotonicMs() + limitMs;
  while (!condition()) {
    if (monotonicMs() > end) return false;
    Atomics.wait(sleeper, 0, 0, 1);
  }
  return true;
}

/** The windows of this thread. */
export const profileWindows = threadSingleton('sampler.v2', () => new ProfileWindows());
