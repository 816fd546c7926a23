/** The push agent: one profile after another, uploaded to Pyroscope, and nothing thrown at anyone. */
import { CpuProfiler } from '../profiler/cpu-profiler.js';
import { deliverHeldWarnings, warn, warnOnce } from '../util/diagnostics.js';
import { resolvePyroscopeConfig, type PyroscopeConfig } from '../options/pyroscope.js';
import type { ResolvedPyroscopeConfig } from '../options/pyroscope.js';
import { asOwnWork } from '../otel/run-untraced.js';
import { CPU_PROFILE, type ProfileType } from '../util/profile-types.js';
import { TRIMMED } from '../util/pseudo-frames.js';
import { threadSingleton } from '../util/thread-singleton.js';
import { serviceOfResource } from '../otel/resource.js';
import { renameLabels } from './protocols/label-names.js';
import { DEFAULT_PROFILE_LIMITS, fitProfile } from './server-limits.js';
import type { Series } from './protocols/upload.js';
import { Uploader } from './uploader.js';

/** How long the application may have to wait for the last upload, in milliseconds. */
const DEADLINE_MS = 5_000;
/**
 * After the flush at `beforeExit` the process ends, unless the application goes on. A later timer
 * of ours shows that it does, for no timer of ours keeps the process alive: one that fires so much
 * later, in milliseconds, that nothing of ours can have done it either…
 */
const ALIVE_AFTER_MS = 1_000;
/** …and where the flush was not finished: what cannot be broken off is the look-up of a name. */
const ALIVE_AFTER_DEADLINE_MS = 30_000;
/** Label names in a series that Pyroscope takes, less those that it adds itself. */
const SERIES_LABELS = 22;

/** Counts since the agent was started. */
export interface PyroscopeMetrics {
  /** Profiles delivered. */
  uploads: number;
  /** Tries to upload a profile after its first. */
  retries: number;
  /** Profiles lost: refused, too old, too many, or not delivered in time. */
  droppedProfiles: number;
  /** The same in bytes of gzipped pprof. */
  droppedBytes: number;
  /** Profiles that wait to be uploaded, or are under way. */
  queued: number;
  /** The last failure, of a try or for good; undefined where all went well. */
  lastError: string | undefined;
  /** Windows over the limits of the server, uploaded as several profiles. */
  splitProfiles: number;
  /** Samples without room even then; their CPU is in one sample `(trimmed)`. */
  trimmedSamples: number;
  /** Labels of samples over the limits of the server, or whose name another label has. */
  droppedLabels: number;
}

/** What `startPyroscope` returns. No method throws, and no promise of theirs is rejected. */
export interface PyroscopeAgent {
  /** Ends the window under way, and resolves when all is delivered or dropped, or after 5 s. */
  flush(): Promise<void>;
  /** The same, and the end: what is not delivered within 5 s is dropped and counted. */
  stop(): Promise<void>;
  /** Plain numbers, and the last error's text. */
  metrics(): PyroscopeMetrics;
}

const running = threadSingleton('agents.v1', () => new Set<object>());

/** Whether an agent runs in this thread. */
export function isAgentRunning(): boolean {
  return running.size > 0;
}

/**
 * Profiles the process from now on, and uploads a profile every `flushIntervalMs`.
 *
 * Throws a TypeError or RangeError that names a wrong option, and nothing else: where profiles
 * cannot be taken (macOS, Windows, no binary), `diag` and `metrics().lastError` say so. The agent
 * does not keep the process alive; at its natural end the last window is uploaded, for at most 5 s.
 */
export function startPyroscope(config?: PyroscopeConfig): PyroscopeAgent {
  const resolved = resolvePyroscopeConfig(config);
  if (isAgentRunning()) {
    warn('startPyroscope was called while an agent runs: CPU is uploaded by both');
  }
  const agent = new Agent(CPU_PROFILE, new CpuProfiler(resolved.profiler), resolved);
  asOwnWork(() => {
    agent.start();
  });
  return {
    flush: () => agent.flush(),
    stop: () => agent.stop(),
    metrics: () => agent.metrics(),
  };
}

/** Uploads the windows of `profiler`, which takes profiles of `type`. */
class Agent {
  readonly #type: ProfileType;
  readonly #config: ResolvedPyroscopeConfig;
  readonly #profiler: CpuProfiler;
  readonly #uploader: Uploader;
  readonly #onBeforeExit = (): void => {
    this.#beforeExit();
  };
  #timer: NodeJS.Timeout | undefined;
  #stopped: Promise<void> | undefined;
  /** One window is taken out at a time. */
  #collecting: Promise<void> = Promise.resolve();
  /**
   * The process is ending until this time of `performance.now`: Infinity during the flush at
   * `beforeExit`, -Infinity before it.
   */
  #endingUntil = -Infinity;
  #startError: string | undefined;
  #lostWindows = 0;
  #splitProfiles = 0;
  #trimmedSamples = 0;
  #droppedLabels = 0;

  constructor(type: ProfileType, profiler: CpuProfiler, config: ResolvedPyroscopeConfig) {
    this.#type = type;
    this.#profiler = profiler;
    this.#config = config;
    this.#uploader = new Uploader(config, () => this.#series());
  }

  start(): void {
    if (!this.#config.enabled) return;
    try {
      this.#profiler.start();
    } catch (error) {
      this.#startError = (error as Error).message;
      warnOnce('pyroscope-start', 'no profiles for Pyroscope', error);
      return;
    }
    running.add(this);
    process.on('beforeExit', this.#onBeforeExit);
    // The first one soon; at random, so that instances started together do not upload together.
    const { flushIntervalMs } = this.#config;
    this.#schedule(flushIntervalMs * (0.1 + Math.random() / 2));
  }

  async flush(): Promise<void> {
    if (!this.#profiler.running) return this.#stopped;
    await asOwnWork(() => this.#deliver(DEADLINE_MS, false));
  }

  stop(): Promise<void> {
    this.#stopped ??= asOwnWork(() => this.#stop());
    return this.#stopped;
  }

  metrics(): PyroscopeMetrics {
    const uploader = this.#uploader;
    return {
      uploads: uploader.uploads,
      retries: uploader.retries,
      droppedProfiles: uploader.droppedProfiles + this.#lostWindows,
      droppedBytes: uploader.droppedBytes,
      queued: uploader.queued,
      lastError: uploader.lastError ?? this.#startError,
      splitProfiles: this.#splitProfiles,
      trimmedSamples: this.#trimmedSamples,
      droppedLabels: this.#droppedLabels,
    };
  }

  #schedule(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#schedule(this.#config.flushIntervalMs);
      if (this.#isEnding()) return;
      // Each time anew: a context manager may have been registered since.
      asOwnWork(() => {
        void this.#collect(false);
        deliverHeldWarnings();
      });
    }, ms).unref();
  }

  /** Hands the window under way to the uploader. Never rejects. */
  #collect(last: boolean): Promise<void> {
    this.#collecting = this.#collecting.then(async () => {
      try {
        const profile = await (last ? this.#profiler.stop() : this.#profiler.collect());
        const named = await this.#named(profile);
        const labels = SERIES_LABELS - Object.keys(this.#config.tags).length;
        const fitted = await fitProfile(named, { ...DEFAULT_PROFILE_LIMITS, labels });
        if (fitted.parts.length > 1) this.#splitProfiles += 1;
        this.#trimmedSamples += fitted.trimmedSamples;
        this.#droppedLabels += fitted.droppedLabels;
        this.#reportLimits(fitted.trimmedSamples, fitted.droppedLabels);
        this.#uploader.add(this.#type, fitted.parts);
      } catch (error) {
        // After stop() there is no window: nothing is lost then.
        if (!this.#profiler.running && !last) return;
        this.#lostWindows += 1;
        this.#uploader.lastError = String(error);
        warnOnce('pyroscope-window', 'a window could not be made into a profile', error);
      }
    });
    return this.#collecting;
  }

  /** OTLP keeps OpenTelemetry's names. */
  async #named(profile: Uint8Array): Promise<Uint8Array> {
    if (this.#config.protocol === 'otlp') return profile;
    const { gzipped, droppedLabels } = await renameLabels(profile);
    this.#droppedLabels += droppedLabels;
    return gzipped;
  }

  #reportLimits(trimmedSamples: number, droppedLabels: number): void {
    if (trimmedSamples > 0) {
      warnOnce(
        'pyroscope-trimmed',
        `a profile is over the limits of Pyroscope: ${String(trimmedSamples)} samples became "${TRIMMED}"`,
      );
    }
    if (droppedLabels > 0) {
      warnOnce(
        'pyroscope-labels',
        `a profile is over the limits of Pyroscope: ${String(droppedLabels)} labels were dropped`,
      );
    }
  }

  async #stop(): Promise<void> {
    clearTimeout(this.#timer);
    process.off('beforeExit', this.#onBeforeExit);
    running.delete(this);
    if (!this.#profiler.running) return;
    await this.#deliver(DEADLINE_MS, true);
    this.#uploader.stop(`not delivered within ${String(DEADLINE_MS)} ms of stop()`);
  }

  /**
   * The event loop has nothing left to do. The flush gives it something, and when that is done,
   * this event comes again, and after the deadline as well: there is one flush, and then nothing
   * of ours runs, neither windows nor uploads, or the process would live on.
   */
  #beforeExit(): void {
    if (this.#endingUntil !== -Infinity) return;
    this.#endingUntil = Infinity;
    const deadline = Math.max(DEADLINE_MS - this.#uploader.heldProcessMs(), 500);
    void asOwnWork(async () => {
      const delivered = await this.#deliver(deadline, false);
      // The application may have called stop() since, which has a deadline of its own.
      if (!delivered && this.#stopped === undefined) this.#uploader.suspend();
      const aliveAfter = delivered ? ALIVE_AFTER_MS : ALIVE_AFTER_DEADLINE_MS;
      this.#endingUntil = performance.now() + aliveAfter;
    });
  }

  /** False again where the process has lived on: then the application has something to do. */
  #isEnding(): boolean {
    if (performance.now() < this.#endingUntil) return true;
    if (this.#endingUntil !== -Infinity) {
      this.#endingUntil = -Infinity;
      this.#uploader.resume();
    }
    return false;
  }

  /**
   * Ends the window under way, and resolves to whether all is delivered or dropped, after `ms` at
   * the latest. Keeps the process alive meanwhile.
   */
  async #deliver(ms: number, last: boolean): Promise<boolean> {
    const deadline = new AbortController();
    const timer = setTimeout(() => {
      deadline.abort();
    }, ms);
    const { signal } = deadline;
    this.#uploader.resume();
    await Promise.race([
      this.#collect(last),
      new Promise((resolve) => {
        signal.addEventListener('abort', resolve);
      }),
    ]);
    await this.#uploader.drain(signal);
    clearTimeout(timer);
    return !signal.aborted;
  }

  #series(): Series {
    const { applicationName, serviceNamespace, tags } = this.#config;
    const resource = serviceOfResource();
    return {
      serviceName: applicationName ?? resource.name ?? 'unknown_service:node',
      serviceNamespace: serviceNamespace ?? resource.namespace,
      tags,
    };
  }
}
