/** Uploads profiles one after another: retries with back-off, and drops and counts what it cannot deliver. */
import type { ProfileType } from '../util/profile-types.js';
import { dateMs, monotonicMs, startTimer, stopTimer } from '../util/clock.js';
import { inform, warnOnce } from '../util/diagnostics.js';
import type { ResolvedPyroscopeConfig } from '../options/pyroscope.js';
import { halveProfile, type ProfilePart } from './server-limits.js';
import { judgeResponse, type Verdict } from './upload-response.js';
import { attemptUpload, UploadFailure } from './upload-attempt.js';
import { UploadQueue, type QueuedProfile } from './upload-queue.js';
import type { Series } from './protocols/upload.js';
import { uploadRequest } from './upload-request.js';

/**
 * A profile is dropped after this many failed tries of its own, between which the server has
 * accepted others. If the server accepts none, a profile is dropped only when it is too old.
 */
const MAX_OWN_FAILURES = 10;
const FIRST_BACKOFF_MS = 500;
const MAX_BACKOFF_MS = 30_000;
/** So a profile that a server finds too large becomes eight at most. */
const MAX_HALVINGS = 3;

type Config = Pick<
  ResolvedPyroscopeConfig,
  'serverAddress' | 'uploadUrl' | 'headers' | 'protocol' | 'timeoutMs'
>;

export class Uploader {
  /** Profiles delivered. */
  uploads = 0;
  /** Tries after a profile's first. */
  retries = 0;
  droppedProfiles = 0;
  droppedBytes = 0;
  /** The last failure, of a try or of a profile. */
  lastError: string | undefined;

  readonly #config: Config;
  readonly #series: () => Series;
  readonly #queue = new UploadQueue();
  /** Aborts the try under way. */
  #attempt: AbortController | undefined;
  #uploading: QueuedProfile | undefined;
  #running = false;
  #stopped = false;
  #suspended = false;
  /** Called when no upload runs any more. */
  readonly #drained = new Set<() => void>();
  /** Failed tries since the server last accepted a profile, or since `hurry`. */
  #failures = 0;
  /** The server has asked for no request before this time of `monotonicMs`. */
  #notBefore = 0;
  #failedAt = -Infinity;
  #failedAfterMs = 0;
  #endWait: (() => void) | undefined;
  /** Whether a window was added since the last try began. */
  #hasNewWindow = false;

  constructor(config: Config, series: () => Series) {
    this.#config = config;
    this.#series = series;
  }

  /** Profiles that wait or are being uploaded. */
  get queued(): number {
    return this.#queue.length;
  }

  /**
   * Adds the parts of a window, and tries at once, even during a back-off: the server may be back,
   * and one request per window is what it gets without failures too. Between two windows the
   * back-off continues to grow, and the server's `Retry-After` is always obeyed.
   */
  add(type: ProfileType, parts: readonly ProfilePart[]): void {
    for (const part of parts) {
      for (const dropped of this.#queue.add({ type, ...part }, this.#uploading)) {
        this.#drop(dropped, 'queue', 'the queue is full');
      }
    }
    this.#hasNewWindow = true;
    this.#endWait?.();
    this.#run();
  }

  /**
   * Resolves when all profiles are delivered or dropped, when uploads are suspended, or when `signal`
   * is aborted. The first try begins at once.
   */
  drain(signal?: AbortSignal): Promise<void> {
    this.hurry();
    if (!this.#running || signal?.aborted === true) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        this.#drained.delete(done);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      this.#drained.add(done);
      signal?.addEventListener('abort', done);
    });
  }

  /** Ends a back-off, but not the server's `Retry-After`. */
  hurry(): void {
    this.#failures = 0;
    this.#endWait?.();
  }

  /** Returns for how long a failed connection has just kept the process alive, in milliseconds. */
  heldProcessMs(): number {
    return monotonicMs() - this.#failedAt < 200 ? this.#failedAfterMs : 0;
  }

  /** Aborts the try under way, and begins no other until `resume`. Drops nothing. */
  suspend(): void {
    this.#suspended = true;
    this.#interrupt();
  }

  resume(): void {
    this.#suspended = false;
    this.#run();
  }

  /** Aborts the try under way for good, and drops all profiles. */
  stop(reason: string): void {
    this.#stopped = true;
    this.#interrupt();
    const failure = this.lastError;
    const why = failure === undefined ? reason : `${reason}; the last failure before: ${failure}`;
    for (const profile of this.#queue.clear()) this.#drop(profile, 'stopped', why);
  }

  #interrupt(): void {
    this.#attempt?.abort();
    this.#endWait?.();
  }

  #halted(): boolean {
    return this.#stopped || this.#suspended;
  }

  #run(): void {
    if (this.#running || this.#halted() || this.#queue.length === 0) return;
    this.#running = true;
    void this.#uploadAll().finally(() => {
      this.#running = false;
      this.#run();
      if (!this.#running) for (const done of [...this.#drained]) done();
    });
  }

  async #uploadAll(): Promise<void> {
    while (!this.#halted() && this.#queue.length > 0) {
      await this.#waitForNextTry();
      for (const aged of this.#queue.removeAged(dateMs())) {
        this.#drop(aged, 'age', 'a profile is too old for the server');
      }
      const { next } = this.#queue;
      if (this.#halted() || next === undefined) return;
      this.#uploading = next;
      const verdict = await this.#try(next);
      this.#uploading = undefined;
      if (this.#halted() && verdict.kind !== 'delivered') return;
      await this.#settle(next, verdict);
    }
  }

  async #try(profile: QueuedProfile): Promise<Verdict> {
    this.#hasNewWindow = false;
    profile.tries += 1;
    const began = monotonicMs();
    if (profile.tries > 1) this.retries += 1;
    const { protocol, timeoutMs } = this.#config;
    const attempt = new AbortController();
    this.#attempt = attempt;
    try {
      const { id, type, gzipped, summary } = profile;
      const upload = { id, type, series: this.#series(), gzipped, summary };
      const request = await uploadRequest(this.#config, upload);
      const response = await attemptUpload(request, timeoutMs, attempt.signal);
      return judgeResponse(response, protocol, dateMs());
    } catch (error) {
      this.#failedAt = monotonicMs();
      this.#failedAfterMs = this.#failedAt - began;
      if (error instanceof UploadFailure) {
        const { code, message } = error;
        return { kind: 'retry', cause: code, reason: message, afterMs: 0, busy: false };
      }
      return { kind: 'refused', cause: 'request', reason: String(error) };
    } finally {
      this.#attempt = undefined;
    }
  }

  async #settle(profile: QueuedProfile, verdict: Verdict): Promise<void> {
    if (verdict.kind === 'delivered') {
      this.#queue.remove(profile);
      if (this.uploads === 0) inform(`profiles reach ${this.#config.serverAddress}`);
      this.uploads += 1;
      this.#failures = 0;
      return;
    }
    const { cause, reason } = verdict;
    this.lastError = reason;
    if (verdict.kind === 'retry') {
      this.#failures += 1;
      this.#notBefore = monotonicMs() + verdict.afterMs;
      if (!verdict.busy && this.uploads > profile.uploadsAtFailure) profile.ownFailures += 1;
      profile.uploadsAtFailure = this.uploads;
      if (profile.ownFailures < MAX_OWN_FAILURES) {
        warnOnce(`pyroscope-retry ${cause}`, `an upload to Pyroscope is tried again: ${reason}`);
        return;
      }
      this.#queue.remove(profile);
      this.#drop(profile, `tries ${cause}`, `tries of one profile alone failed: ${reason}`);
      return;
    }
    this.#failures = 0;
    if (verdict.kind === 'too-large' && (await this.#halve(profile))) return;
    this.#queue.remove(profile);
    this.#drop(profile, cause, reason);
  }

  async #halve(profile: QueuedProfile): Promise<boolean> {
    if (profile.halvings >= MAX_HALVINGS) return false;
    const halves = await halveProfile(profile.gzipped).catch(() => undefined);
    if (halves === undefined) return false;
    if (this.#stopped) return true;
    warnOnce('pyroscope-halved', 'Pyroscope finds a profile too large: it is uploaded in parts');
    this.#queue.replace(profile, halves.parts);
    return true;
  }

  /** Counts a dropped profile, and warns once per cause. */
  #drop(profile: QueuedProfile, cause: string, reason: string): void {
    this.droppedProfiles += 1;
    this.droppedBytes += profile.gzipped.length;
    this.lastError = reason;
    warnOnce(`pyroscope-drop ${cause}`, `a profile for Pyroscope was dropped: ${reason}`);
  }

  /** Waits 0.5 s after a failure, doubled up to 30 s, half of it random; longer for `Retry-After`. */
  async #waitForNextTry(): Promise<void> {
    const full = Math.min(FIRST_BACKOFF_MS * 2 ** (this.#failures - 1), MAX_BACKOFF_MS);
    const backoff = this.#failures === 0 ? 0 : full * (0.5 + Math.random() / 2);
    if (!this.#hasNewWindow) await this.#wait(backoff);
    // `hurry` and new windows do not end this wait.
    for (let ms = this.#msUntilAllowed(); ms > 0; ms = this.#msUntilAllowed()) await this.#wait(ms);
  }

  #msUntilAllowed(): number {
    return this.#halted() ? 0 : this.#notBefore - monotonicMs();
  }

  async #wait(ms: number): Promise<void> {
    if (ms <= 0 || this.#halted()) return;
    await new Promise<void>((resolve) => {
      const timer = startTimer(resolve, ms).unref();
      this.#endWait = () => {
        stopTimer(timer);
        resolve();
      };
    });
    this.#endWait = undefined;
  }
}
