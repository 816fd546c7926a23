/** The profiles that wait to be uploaded: few, small, and the oldest go first in both senses. */
import type { ProfileSummary } from './profile-limits.js';

export const MAX_QUEUED_PROFILES = 20;
export const MAX_QUEUED_BYTES = 32 * 1024 * 1024;
/** Pyroscope takes profiles of the last hour. */
export const MAX_AGE_MS = 55 * 60_000;

export interface QueuedProfile {
  readonly gzipped: Uint8Array;
  readonly summary: ProfileSummary;
  /** Tries to upload it so far. */
  tries: number;
  /** How often it was halved, because a server found it too large. */
  readonly halvings: number;
}

export class UploadQueue {
  #profiles: QueuedProfile[] = [];
  #bytes = 0;

  get length(): number {
    return this.#profiles.length;
  }

  /** The oldest; stays where it is. */
  get first(): QueuedProfile | undefined {
    return this.#profiles[0];
  }

  /** Returns the oldest ones that had to go; never `held`, which is being uploaded. */
  add(profile: QueuedProfile, held?: QueuedProfile): QueuedProfile[] {
    this.#profiles.push(profile);
    this.#bytes += profile.gzipped.length;
    const dropped: QueuedProfile[] = [];
    while (this.#profiles.length > MAX_QUEUED_PROFILES || this.#bytes > MAX_QUEUED_BYTES) {
      const oldest = this.#profiles.find((candidate) => candidate !== held);
      if (oldest === undefined) break;
      this.remove(oldest);
      dropped.push(oldest);
    }
    return dropped;
  }

  /** Puts the parts in the place of a profile. */
  replace(profile: QueuedProfile, parts: readonly QueuedProfile[]): void {
    const at = this.#profiles.indexOf(profile);
    this.remove(profile);
    this.#profiles.splice(Math.max(at, 0), 0, ...parts);
    for (const { gzipped } of parts) this.#bytes += gzipped.length;
  }

  remove(profile: QueuedProfile): void {
    const at = this.#profiles.indexOf(profile);
    if (at < 0) return;
    this.#profiles.splice(at, 1);
    this.#bytes -= profile.gzipped.length;
  }

  /** Empties the queue, and returns what was in it. */
  clear(): QueuedProfile[] {
    const profiles = this.#profiles;
    this.#profiles = [];
    this.#bytes = 0;
    return profiles;
  }
}
