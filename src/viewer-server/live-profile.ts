/** A profile that goes on, window after window, for the viewer to look at. */
import type { CpuProfiler } from '../profiler/cpu-profiler.js';
import { warnOnce } from '../util/diagnostics.js';
import { ProfileRing } from './profile-ring.js';

/** Length of a window, in milliseconds: how old the live view is at most. */
export const LIVE_WINDOW_MS = 10_000;
/** Length of the first, so that there is something to see. */
const FIRST_WINDOW_MS = 1_000;

/** Fills a ring with windows of the process's profile. Never keeps the process alive. */
export class LiveProfile {
  readonly ring = new ProfileRing();
  readonly #profiler: CpuProfiler;
  #timer: NodeJS.Timeout | undefined;

  constructor(profiler: CpuProfiler) {
    this.#profiler = profiler;
  }

  /** Throws what `CpuProfiler.start` throws. */
  start(): void {
    this.#profiler.start();
    this.#wait(FIRST_WINDOW_MS);
  }

  /** Ends sampling; the windows stay. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#profiler.running) this.ring.add(await this.#profiler.stop(), Date.now());
  }

  #wait(millis: number): void {
    this.#timer = setTimeout(() => void this.#turn(), millis);
    this.#timer.unref();
  }

  async #turn(): Promise<void> {
    try {
      this.ring.add(await this.#profiler.collect(), Date.now());
    } catch (error) {
      warnOnce('live-profile', 'a window of the live view is lost', error);
    }
    if (this.#profiler.running) this.#wait(LIVE_WINDOW_MS);
  }
}
