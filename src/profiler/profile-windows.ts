/** The windows of this thread's profilers, over the samplers of all threads of the process. */
import { CPU_PROFILE } from '../util/profile-types.js';
import { promisify } from 'node:util';
import { gzip, gzipSync } from 'node:zlib';
import { warn } from '../util/diagnostics.js';
import { ProfilerError } from '../util/errors.js';
import type { NativeMetrics } from '../addon/loader.js';
import type { ResolvedCpuProfilerOptions } from '../options/options.js';
import { ProfileBuilder, type ProfileTimes, type SampleBatch } from '../pprof/profile-builder.js';
import { threadSingleton } from '../util/thread-singleton.js';
import { atOnce, inSlices } from '../util/time-slices.js';
import { SourceMaps } from '../source-maps/source-maps.js';
import { ForeignLabels, othersBatch, ThreadSampler } from './profiled-thread.js';

const gzipAsync = promisify(gzip);

/**
 * How long the end of a window waits for threads that do not come back to their event loop, in
 * milliseconds. What they have goes into the next window; at the last, into this one without the
 * labels that only their JavaScript knows.
 */
const ANSWER_MS = 1_000;
/** How long those may then take to be interrupted; in native code they cannot be. */
const FORCED_ANSWER_MS = 250;
/** The same as `ANSWER_MS` when the process ends, which is not to be held up, in milliseconds. */
const EXIT_ANSWER_MS = 100;

/** The samples from `start()` or one `collect()` of a profiler to the next. */
class ProfileSegment {
  readonly #builder: ProfileBuilder;
  readonly #foreignLabels = new ForeignLabels();
  readonly #startNanos = BigInt(Date.now()) * 1_000_000n;
  readonly #startClock = process.hrtime.bigint();
  #durationNanos = 0n;

  constructor(lineNumbers: boolean) {
    this.#builder = new ProfileBuilder(CPU_PROFILE, lineNumbers);
  }

  add(batch: SampleBatch): void {
    this.#builder.add(batch);
  }

  /** Adds what other threads have handed in for this segment; 0: so far, not ended yet. */
  addOthers({ native }: ThreadSampler, window: number, segment: number): void {
    const { batches, others } = native.take(window, segment);
    for (const batch of batches) this.add(this.#foreignLabels.resolve(batch));
    if (others > 0) this.add(othersBatch(others));
  }

  end(): void {
    this.#durationNanos = process.hrtime.bigint() - this.#startClock;
  }

  /** Resolves to the gzipped profile, with original names, files and lines where `maps` are given. */
  async encode(periodNanos: number, maps: SourceMaps | undefined): Promise<Uint8Array> {
    await inSlices(this.#builder.merge());
    const originals = await maps?.load(this.#builder.urls());
    return gzipAsync(
      await inSlices(this.#builder.encode({ ...this.#times(periodNanos), originals })),
    );
  }

  /** The same without the event loop, and so with no more maps than can be read meanwhile. */
  encodeSync(periodNanos: number, maps: SourceMaps | undefined): Uint8Array {
    atOnce(this.#builder.merge());
    const originals = maps?.loadSync(this.#builder.urls());
    return gzipSync(atOnce(this.#builder.encode({ ...this.#times(periodNanos), originals })));
  }

  #times(periodNanos: number): ProfileTimes {
    return { startNanos: this.#startNanos, durationNanos: this.#durationNanos, periodNanos };
  }
}

/** The end of a segment: what waits for the other threads, and then is their part and ours. */
interface EndedSegment {
  /** Whether all threads have handed in what they had. */
  readonly isComplete: () => boolean;
  /** Has those that have not hand it in without labels. */
  readonly force: () => void;
  /** The segment with what has been handed in. */
  readonly take: () => ProfileSegment;
}

/** One profiler's. */
export class ProfileWindow {
  current: ProfileSegment;

  constructor(
    readonly id: number,
    readonly intervalMicros: number,
    readonly maps: SourceMaps | undefined,
    readonly lineNumbers: boolean,
  ) {
    this.current = new ProfileSegment(lineNumbers);
  }

  /** Ends the segment under way and begins the next. */
  turn(): ProfileSegment {
    const ended = this.current;
    ended.end();
    this.current = new ProfileSegment(this.lineNumbers);
    return ended;
  }
}

/**
 * The sampler of this thread and the windows of its profilers. Shared by all of them, those of
 * another copy of the package included: a thread has one sampler.
 */
export class SharedSampler {
  #thread: ThreadSampler | undefined;
  readonly #windows = new Set<ProfileWindow>();
  readonly #looking = new Set<() => void>();
  readonly #maps = new SourceMaps();

  /** Takes part in profiles that other threads take, now or later. Never throws. */
  join(): void {
    try {
      this.#thread ??= this.#createThread();
    } catch {
      // No binary, or none for this system: start() says so to whoever wants a profile.
    }
  }

  /** Opens a window and starts sampling where it is the first. Throws ProfilerError. */
  open(options: ResolvedCpuProfilerOptions): ProfileWindow {
    const thread = (this.#thread ??= this.#createThread());
    thread.connect();
    thread.flush();
    const opened = thread.native.openWindow(options.intervalMicros, options.maxFrames);
    if (typeof opened === 'string') {
      thread.follow();
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
    return this.#turn(window, false);
  }

  /** Closes the window, and stops sampling where it was the last. */
  close(window: ProfileWindow): Promise<Uint8Array> {
    this.#beginClose(window);
    return this.#turn(window, true);
  }

  /**
   * `close` for the end of the process, when no more turns of the event loop are to come: blocks
   * until the other threads have answered, or the time is up.
   */
  closeSync(window: ProfileWindow): Uint8Array {
    this.#beginClose(window);
    const { isComplete, force, take } = this.#endSegment(window, true);
    if (!becomeSync(isComplete, EXIT_ANSWER_MS)) {
      force();
      becomeSync(isComplete, FORCED_ANSWER_MS);
    }
    return take().encodeSync(window.intervalMicros * 1_000, window.maps);
  }

  /** Of this thread's sampler, where it has one, and of the source maps of its profiles. */
  metrics(): Partial<NativeMetrics & { skippedSourceMaps: number }> {
    return { ...this.#thread?.native.metrics(), skippedSourceMaps: this.#maps.skipped };
  }

  async #turn(window: ProfileWindow, last: boolean): Promise<Uint8Array> {
    const { isComplete, force, take } = this.#endSegment(window, last);
    if (!(await this.#become(isComplete, ANSWER_MS)) && last) {
      force();
      await this.#become(isComplete, FORCED_ANSWER_MS);
    }
    return take().encode(window.intervalMicros * 1_000, window.maps);
  }

  #beginClose(window: ProfileWindow): void {
    this.#thread?.native.beginClose(window.id);
    this.#thread?.follow();
  }

  #endSegment(window: ProfileWindow, last: boolean): EndedSegment {
    const thread = this.#thread as ThreadSampler;
    const { native } = thread;
    thread.flush();
    const segment = native.turn(window.id);
    const ended = window.turn();
    if (last) this.#windows.delete(window);
    return {
      isComplete: () => native.isComplete(window.id, segment),
      force: () => {
        native.force(window.id, segment);
      },
      take: () => {
        ended.addOthers(thread, window.id, segment);
        return ended;
      },
    };
  }

  /** Resolves to whether the condition has come true before the time was up. */
  async #become(condition: () => boolean, limitMs: number): Promise<boolean> {
    if (condition()) return true;
    return new Promise((resolve) => {
      const done = (result: boolean): void => {
        clearTimeout(timer);
        this.#looking.delete(look);
        resolve(result);
      };
      const look = (): void => {
        if (condition()) done(true);
      };
      const timer = setTimeout(() => {
        done(false);
      }, limitMs);
      this.#looking.add(look);
    });
  }

  #createThread(): ThreadSampler {
    const windows = this.#windows;
    return new ThreadSampler({
      get wanted() {
        return windows.size > 0;
      },
      add: (batch) => {
        for (const { current } of windows) current.add(batch);
      },
      look: () => {
        // What waits is kept small: the native side is full at some time, a profile is not.
        for (const { current, id } of windows) {
          if (this.#thread !== undefined) current.addOthers(this.#thread, id, 0);
        }
        for (const look of [...this.#looking]) look();
      },
    });
  }
}

/** Whether the condition has come true before the time was up; sleeps meanwhile. */
function becomeSync(condition: () => boolean, limitMs: number): boolean {
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  const end = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > end) return false;
    Atomics.wait(sleeper, 0, 0, 1);
  }
  return true;
}

/** The one of this thread. */
export const sharedSampler = threadSingleton('sampler.v2', () => new SharedSampler());
