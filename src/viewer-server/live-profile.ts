/** Collects windows of the running process for the viewer. */
import type { CpuProfiler } from '../profiler/cpu-profiler.js';
import { dateMs, startTimer, stopTimer, type Timer } from '../util/clock.js';
import { warnOnce } from '../util/diagnostics.js';
import { ProfileRing } from './profile-ring.js';

/** Length of a window, in milliseconds, and so the largest age of the live view. */
export const LIVE_WINDOW_MS = 10_000;
/** Length of the first window: short, so that the page soon has data. */
const FIRST_WINDOW_MS = 1_000;

/** A profiler of this process, or of another one. */
type Profiler = Pick<CpuProfiler, 'start' | 'running' | 'collect' | 'stop'>;

/** Fills a ring with windows of the process's profile. Never keeps the process alive. */
export class LiveProfile {
  readonly ring = new ProfileRing();
  readonly #profiler: Profiler;
  #timer: Timer | undefined;

  constructor(profiler: Profiler) {
    this.#profiler = profiler;
  }

  /** Throws what `CpuProfiler.start` throws. */
  start(): void {
    this.#profiler.start();
    this.#schedule(FIRST_WINDOW_MS);
  }

  /** Ends sampling; the windows stay. */
  async stop(): Promise<void> {
    stopTimer(this.#timer);
    this.#timer = undefined;
    if (this.#profiler.running) this.ring.add(await this.#profiler.stop(), dateMs());
  }

  #schedule(millis: number): void {
    this.#timer = startTimer(() => void this.#rotate(), millis);
    this.#timer.unref();
  }

  async #rotate(): Promise<void> {
    try {
      this.ring.add(await this.#profiler.collect(), dateMs());
    } catch (error) {
      warnOnce('live-profile', 'a window of the live view is lost', error);
    }
    if (this.#profiler.running) this.#schedule(LIVE_WINDOW_MS);
  }
}
