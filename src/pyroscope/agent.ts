/** The push agent: uploads one window after another to Pyroscope, and throws nothing into the application. */
import { CpuProfiler } from '../profiler/cpu-profiler.js';
import { monotonicMs, startDeadline, startTimer, stopTimer, type Timer } from '../util/clock.js';
import { deliverHeldWarnings, warn, warnOnce } from '../util/diagnostics.js';
import { resolvePyroscopeConfig, type PyroscopeConfig } from '../options/pyroscope.js';
import type { ResolvedPyroscopeConfig } from '../options/pyroscope.js';
import { asOwnWork } from '../otel/run-untraced.js';
import { CPU_PROFILE, type ProfileType } from '../util/profile-types.js';
import { TRIMMED } from '../util/pseudo-frames.js';
import { threadSingleton } from '../util/thread-singleton.js';
import { serviceOfResource } from '../otel/resource.js';
import { DEFAULT_PROFILE_LIMITS, fitProfile } from './server-limits.js';
import { withAgentLabels } from './agent-labels.js';
import { LabelValueLimit } from './label-value-limit.js';
import type { Series } from './protocols/upload.js';
import { fitLabels } from './upload-labels.js';
import { Uploader } from './uploader.js';

/** How long the application may have to wait for the last upload, in milliseconds. */
const DEADLINE_MS = 5_000;
/**
 * After the flush at `beforeExit` the process ends, unless the application goes on. Our timers do
 * not keep the process alive, so one that fires shows that the application does: if it fires this
 * much later, in milliseconds, that nothing else of ours can have kept the process alive.
 */
const ALIVE_AFTER_MS = 1_000;
/** The same after a flush that reached its deadline: a DNS lookup under way cannot be aborted. */
const ALIVE_AFTER_DEADLINE_MS = 30_000;
/** Label names that Pyroscope accepts in a series, less those that it adds itself. */
const SERIES_LABELS = 22;

/** Counts since the start of the agent. */
export interface PyroscopeMetrics {
  /** Profiles delivered. */
  uploads: number;
  /** Tries to upload a profile after its first. */
  retries: number;
  /** Profiles lost: refused, too old, too many, or not delivered in time. */
  droppedProfiles: number;
  /** Bytes of gzipped pprof in these profiles. */
  droppedBytes: number;
  /** Profiles that wait to be uploaded or are being uploaded. */
  queued: number;
  /** The last failure, of a try or of a profile; undefined if there was none. */
  lastError: string | undefined;
  /** Windows over the limits of the server, uploaded as several profiles. */
  splitProfiles: number;
  /** Samples that did not fit even so; their CPU is in one sample `(trimmed)`. */
  trimmedSamples: number;
  /** Labels of samples over the limits of the server, or whose name another label has. */
  droppedLabels: number;
  /** Labels of samples uploaded as `(other)`, because of `maxLabelValues`. */
  otherLabelValues: number;
}

/** Returned by `startPyroscope`. No method throws, and no promise is rejected. */
export interface PyroscopeAgent {
  /** Ends the current window. Resolves when all is delivered or dropped, or after 5 s. */
  flush(): Promise<void>;
  /** Flushes and stops the agent: profiles not delivered within 5 s are dropped and counted. */
  stop(): Promise<void>;
  /** Returns plain numbers and the last error's message. */
  metrics(): PyroscopeMetrics;
}

const running = threadSingleton('agents.v1', () => new Set<object>());

/** Returns whether an agent runs in this thread. */
export function isAgentRunning(): boolean {
  return running.size > 0;
}

/**
 * Starts to profile the process, and uploads a profile every `flushIntervalMs`.
 *
 * Throws a TypeError or RangeError that names a wrong option, and nothing else: if profiles cannot
 * be taken (macOS, Windows, no binary), `diag` and `metrics().lastError` report it. The agent does
 * not keep the process alive; at its natural end the last window is uploaded, for at most 5 s.
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
  readonly #labelValues: LabelValueLimit;
  readonly #onBeforeExit = (): void => {
    this.#beforeExit();
  };
  #timer: Timer | undefined;
  #stopped: Promise<void> | undefined;
  /** The collect under way: they run one after another. */
  #collecting: Promise<void> = Promise.resolve();
  /**
   * The process counts as ending until this time of `monotonicMs`: Infinity during the flush at
   * `beforeExit`, -Infinity before it.
   */
  #endingUntil = -Infinity;
  #startError: string | undefined;
  #lostWindows = 0;
  #splitProfiles = 0;
  #trimmedSamples = 0;
  #droppedLabels = 0;
  #otherLabelValues = 0;

  constructor(type: ProfileType, profiler: CpuProfiler, config: ResolvedPyroscopeConfig) {
    this.#type = type;
    this.#profiler = profiler;
    this.#config = { ...config, tags: withAgentLabels(config.tags) };
    this.#labelValues = new LabelValueLimit(config.maxLabelValues);
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
    // The first upload is early, at a random time: instances started together upload at different times.
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
      otherLabelValues: this.#otherLabelValues,
    };
  }

  #schedule(ms: number): void {
    this.#timer = startTimer(() => {
      this.#schedule(this.#config.flushIntervalMs);
      if (this.#isEnding()) return;
      // At every window: a context manager may have been registered since.
      asOwnWork(() => {
        void this.#collect(false);
        deliverHeldWarnings();
      });
    }, ms).unref();
  }

  /** Ends the current window and gives its profile to the uploader. Never rejects. */
  #collect(last: boolean): Promise<void> {
    this.#collecting = this.#collecting.then(async () => {
      try {
        const profile = await (last ? this.#profiler.stop() : this.#profiler.collect());
        const labelled = await this.#fitLabels(profile);
        const labels = SERIES_LABELS - Object.keys(this.#config.tags).length;
        const fitted = await fitProfile(labelled, { ...DEFAULT_PROFILE_LIMITS, labels });
        if (fitted.parts.length > 1) this.#splitProfiles += 1;
        this.#trimmedSamples += fitted.trimmedSamples;
        this.#droppedLabels += fitted.droppedLabels;
        this.#reportLimits(fitted.trimmedSamples, fitted.droppedLabels);
        this.#uploader.add(this.#type, fitted.parts);
      } catch (error) {
        // After stop() there is no window, so nothing is lost.
        if (!this.#profiler.running && !last) return;
        this.#lostWindows += 1;
        this.#uploader.lastError = String(error);
        warnOnce('pyroscope-window', 'a window could not be made into a profile', error);
      }
    });
    return this.#collecting;
  }

  async #fitLabels(profile: Uint8Array): Promise<Uint8Array> {
    // OTLP keeps OpenTelemetry's names.
    const rename = this.#config.protocol !== 'otlp';
    const fitted = await fitLabels(profile, { rename, values: this.#labelValues });
    this.#droppedLabels += fitted.droppedLabels;
    this.#otherLabelValues += fitted.otherLabelValues;
    return fitted.gzipped;
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
    stopTimer(this.#timer);
    process.off('beforeExit', this.#onBeforeExit);
    running.delete(this);
    if (!this.#profiler.running) return;
    await this.#deliver(DEADLINE_MS, true);
    this.#uploader.stop(`not delivered within ${String(DEADLINE_MS)} ms of stop()`);
  }

  /**
   * Flushes once when the event loop is empty. The flush fills the event loop, so `beforeExit` is
   * emitted again after it or after its deadline. From then on no window and no upload of ours
   * runs, or the process would never end.
   */
  #beforeExit(): void {
    if (this.#endingUntil !== -Infinity) return;
    this.#endingUntil = Infinity;
    const deadline = Math.max(DEADLINE_MS - this.#uploader.heldProcessMs(), 500);
    void asOwnWork(async () => {
      const delivered = await this.#deliver(deadline, false);
      // The application may have called stop() since; that has a deadline of its own.
      if (!delivered && this.#stopped === undefined) this.#uploader.suspend();
      const aliveAfter = delivered ? ALIVE_AFTER_MS : ALIVE_AFTER_DEADLINE_MS;
      this.#endingUntil = monotonicMs() + aliveAfter;
    });
  }

  /** Returns whether the process is ending. Resumes uploads once the application has gone on. */
  #isEnding(): boolean {
    if (monotonicMs() < this.#endingUntil) return true;
    if (this.#endingUntil !== -Infinity) {
      this.#endingUntil = -Infinity;
      this.#uploader.resume();
    }
    return false;
  }

  /**
   * Ends the current window. Resolves to whether all is delivered or dropped, after `ms` at the
   * latest, and keeps the process alive until then.
   */
  async #deliver(ms: number, last: boolean): Promise<boolean> {
    const deadline = new AbortController();
    const stopDeadline = startDeadline(
      () => {
        deadline.abort();
      },
      ms,
      { keepsAlive: true },
    );
    const { signal } = deadline;
    this.#uploader.resume();
    await Promise.race([
      this.#collect(last),
      new Promise((resolve) => {
        signal.addEventListener('abort', resolve);
      }),
    ]);
    await this.#uploader.drain(signal);
    stopDeadline();
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
