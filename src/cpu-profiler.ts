/** Profilers, each with a window of its own, over the one sampler of this thread. */
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { activeLabels } from './active-labels.js';
import { warn } from './diagnostics.js';
import { ProfilerError } from './errors.js';
import { openNativeSampler, type NativeSampler } from './native.js';
import {
  resolveCpuProfilerOptions,
  type CpuProfilerOptions,
  type ResolvedCpuProfilerOptions,
} from './options.js';
import { ProfileBuilder, type SampleBatch } from './pprof.js';
import { processWide } from './process-wide.js';
import { SourceMaps } from './source-maps.js';

const gzipAsync = promisify(gzip);

/**
 * How long a stopped sampler goes on to follow what code V8 makes, in milliseconds. Scrapes start
 * and stop one every 15 s: without this, each would block while V8 lists all code, and would not
 * know the loops that V8 has replaced on the stack, which it never lists.
 */
const FORGET_AFTER_MS = 60_000;

/** What the sampler of this thread has counted since it started; plain numbers. */
export interface ProfilerMetrics {
  /** Timer signals that arrived. */
  signals: number;
  /** Samples recorded and added to a profile; one stands for one or more intervals. */
  samples: number;
  /** Samples for which there was no room; their CPU is in the profile as `(dropped samples)`. */
  droppedSamples: number;
  /** Stacks deeper than `maxFrames`, cut at the root end. */
  truncatedStacks: number;
  /** Samples taken under a label. */
  labelledSamples: number;
  /** Samples older than the code map that could tell their functions. */
  staleSamples: number;
  /** Frames whose address belongs to no known function. */
  unresolvedFrames: number;
  /** Inlined frames recovered. */
  inlinedFrames: number;
  /** Failed self-checks of V8's memory layout; each leaves a frame as it was. */
  layoutFallbacks: number;
  /** Functions' code ranges known. */
  codeEntries: number;
  /** Memory that they take, in bytes, roughly. */
  codeBytes: number;
  /** Label sets of spans and flows that have not ended. */
  activeLabelSets: number;
  /** Label sets lost to the limit of the table, since the package was loaded. */
  droppedLabelSets: number;
  /** Time in the signal handler, in nanoseconds. */
  handlerNanos: number;
  /** Time turning samples into stacks, in nanoseconds. */
  drainNanos: number;
  /** Time noting V8's code events, in nanoseconds. */
  jitEventNanos: number;
}

/** The samples since `start()` or the last `collect()` of one profiler. */
class ProfileWindow {
  readonly #sourceMaps: SourceMaps | undefined;
  #builder = new ProfileBuilder();
  #startNanos = BigInt(Date.now()) * 1_000_000n;
  #startClock = process.hrtime.bigint();

  /** Original names, files and lines where `maps` are given. */
  constructor(maps: SourceMaps | undefined) {
    this.#sourceMaps = maps;
  }

  add(batch: SampleBatch): void {
    this.#builder.add(batch);
  }

  /** Ends the window and begins the next; resolves to the gzipped profile of the ended one. */
  async finish(periodNanos: number): Promise<Uint8Array> {
    const builder = this.#builder;
    const startNanos = this.#startNanos;
    const now = process.hrtime.bigint();
    const durationNanos = now - this.#startClock;
    this.#builder = new ProfileBuilder();
    this.#startNanos = BigInt(Date.now()) * 1_000_000n;
    this.#startClock = now;
    const originals = await this.#sourceMaps?.load(builder.urls());
    return gzipAsync(await builder.encode({ startNanos, durationNanos, periodNanos, originals }));
  }
}

/**
 * The sampler of this thread and the windows that it fills. Shared by all profilers, those of
 * another copy of the package included: V8 has room for one listener to code events only.
 */
class SharedSampler {
  #native: NativeSampler | undefined;
  readonly #windows = new Set<ProfileWindow>();
  #intervalMicros = 0;
  #forgetTimer: NodeJS.Timeout | undefined;

  /** Opens a window and starts sampling where it is the first. Throws ProfilerError. */
  open(options: ResolvedCpuProfilerOptions): ProfileWindow {
    this.#native ??= openNativeSampler();
    if (this.#windows.size === 0) {
      this.#start(this.#native, options);
    } else {
      this.#takeSamples(this.#native);
      if (options.intervalMicros !== this.#intervalMicros) {
        warn(
          `intervalMicros ${String(options.intervalMicros)} is ignored: a profiler with ` +
            `${String(this.#intervalMicros)} runs already, and all share one sampler`,
        );
      }
    }
    const window = new ProfileWindow(options.sourceMaps ? sourceMaps : undefined);
    this.#windows.add(window);
    return window;
  }

  collect(window: ProfileWindow): Promise<Uint8Array> {
    if (this.#native !== undefined) this.#takeSamples(this.#native);
    return window.finish(this.#intervalMicros * 1_000);
  }

  /** Closes the window, and stops sampling where it was the last. */
  close(window: ProfileWindow): Promise<Uint8Array> {
    if (this.#native !== undefined && this.#windows.size === 1) {
      this.#native.stop();
      activeLabels.disconnect();
      this.#forgetTimer = setTimeout(() => this.#native?.forget(), FORGET_AFTER_MS);
      this.#forgetTimer.unref();
    }
    const profile = this.collect(window);
    this.#windows.delete(window);
    return profile;
  }

  metrics(): ProfilerMetrics {
    return {
      signals: 0,
      samples: 0,
      droppedSamples: 0,
      truncatedStacks: 0,
      labelledSamples: 0,
      staleSamples: 0,
      unresolvedFrames: 0,
      inlinedFrames: 0,
      layoutFallbacks: 0,
      codeEntries: 0,
      codeBytes: 0,
      handlerNanos: 0,
      drainNanos: 0,
      jitEventNanos: 0,
      ...this.#native?.metrics(),
      activeLabelSets: activeLabels.activeLabelSets,
      droppedLabelSets: activeLabels.droppedLabelSets,
    };
  }

  #start(native: NativeSampler, options: ResolvedCpuProfilerOptions): void {
    clearTimeout(this.#forgetTimer);
    activeLabels.connect(native);
    const refused = native.start(options.intervalMicros, options.maxFrames);
    if (refused !== '') {
      activeLabels.disconnect();
      throw new ProfilerError(
        'ERR_TIMER_REFUSED',
        `the system refuses a CPU timer for this thread: ${refused}`,
      );
    }
    this.#intervalMicros = options.intervalMicros;
  }

  /** Moves what was sampled into every window. */
  #takeSamples(native: NativeSampler): void {
    activeLabels.beginCollect();
    const taken = native.take();
    const { stacks } = taken;
    const labels = new Map<number, Readonly<Record<string, string>>>();
    for (let at = 0; at < stacks.length; at += 3 + (stacks[at + 1] as number)) {
      const id = stacks[at + 2] as number;
      if (id === 0 || labels.has(id)) continue;
      const known = activeLabels.labelsOf(id);
      if (known !== undefined) labels.set(id, known);
    }
    activeLabels.endCollect();
    const batch = { ...taken, labels };
    for (const window of this.#windows) window.add(batch);
  }
}

const sourceMaps = new SourceMaps();

const sharedSampler = processWide('sampler.v1', () => new SharedSampler());

/**
 * Takes CPU profiles of this thread, in pprof format, with the labels in force in every sample.
 *
 * Any number of profilers may run at once, each with a window of its own; they share one sampler.
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
   * Begins to sample. Blocks for some milliseconds while V8 lists the code that exists.
   * Throws a ProfilerError: ERR_ALREADY_STARTED; ERR_UNSUPPORTED_PLATFORM (not Linux);
   * ERR_NATIVE_MISSING (no binary for this ABI and libc); ERR_TIMER_REFUSED (the kernel or a
   * sandbox forbids it).
   */
  start(): void {
    if (this.#window !== undefined) {
      throw new ProfilerError('ERR_ALREADY_STARTED', 'this profiler has been started already');
    }
    this.#window = sharedSampler.open(this.#options);
  }

  /**
   * Resolves to the gzipped pprof profile of the time since `start()` or the last `collect()`;
   * sampling goes on. Rejects with a ProfilerError: ERR_NOT_STARTED.
   */
  async collect(): Promise<Uint8Array> {
    return sharedSampler.collect(this.#runningWindow());
  }

  /**
   * Ends sampling at once and resolves to the last window, as `collect()` does. Rejects with a
   * ProfilerError: ERR_NOT_STARTED. The profiler can be started again.
   */
  async stop(): Promise<Uint8Array> {
    const window = this.#runningWindow();
    this.#window = undefined;
    return sharedSampler.close(window);
  }

  /** Counts of this thread's sampler since it was started; zeros before the first start. */
  metrics(): ProfilerMetrics {
    return sharedSampler.metrics();
  }

  #runningWindow(): ProfileWindow {
    if (this.#window === undefined) {
      throw new ProfilerError('ERR_NOT_STARTED', 'this profiler has not been started');
    }
    return this.#window;
  }
}
