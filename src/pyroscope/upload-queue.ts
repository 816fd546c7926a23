/** The queue of profiles to upload, oldest first, limited in bytes and age. */
import { randomUUID } from 'node:crypto';
import type { ProfileType } from '../util/profile-types.js';
import type { ProfilePart } from './server-limits.js';

/**
 * Bytes of gzipped pprof in the queue. An hour of windows of 15 s fits in as long as they have
 * 139 KB on average.
 */
export const MAX_QUEUED_BYTES = 32 * 1024 * 1024;
/**
 * Time since the start of a profile, in milliseconds. Pyroscope rejects a profile that began more
 * than an hour ago, unless it is configured otherwise (`validation.reject-older-than`).
 */
export const MAX_AGE_MS = 60 * 60_000;

/** A profile to be queued. */
export interface NewProfile extends ProfilePart {
  readonly type: ProfileType;
}

export interface QueuedProfile extends NewProfile {
  /** A UUID, the same at all tries: by it a server can recognize what it has already. */
  readonly id: string;
  /** Tries to upload it so far. */
  tries: number;
  /** Failed tries before which the server has accepted another profile since the previous failure. */
  ownFailures: number;
  /** Profiles that the server had accepted when the last try failed; Infinity before a failure. */
  uploadsAtFailure: number;
  /** Number of times that it was halved because a server found it too large. */
  readonly halvings: number;
}

export class UploadQueue {
  #profiles: QueuedProfile[] = [];
  #bytes = 0;

  get length(): number {
    return this.#profiles.length;
  }

  /**
   * The next profile to try, which stays in the queue: the oldest of those with the fewest tries.
   * So a profile that the server does not accept does not block the others.
   */
  get next(): QueuedProfile | undefined {
    let next = this.#profiles[0];
    for (const profile of this.#profiles) {
      if (next === undefined || profile.tries < next.tries) next = profile;
    }
    return next;
  }

  /** Adds a profile. Returns the oldest ones, dropped for it; never `held`, which is being uploaded. */
  add(profile: NewProfile, held?: QueuedProfile): QueuedProfile[] {
    this.#profiles.push(queued(profile, 0));
    this.#bytes += profile.gzipped.length;
    const dropped: QueuedProfile[] = [];
    while (this.#bytes > MAX_QUEUED_BYTES) {
      const oldest = this.#profiles.find((candidate) => candidate !== held);
      if (oldest === undefined) break;
      this.remove(oldest);
      dropped.push(oldest);
    }
    return dropped;
  }

  /** Removes and returns the profiles that are too old for the server at `now`, a Date's time. */
  removeAged(now: number): QueuedProfile[] {
    const oldestStart = BigInt(now - MAX_AGE_MS) * 1_000_000n;
    const aged: QueuedProfile[] = [];
    for (let [oldest] = this.#profiles; oldest !== undefined; [oldest] = this.#profiles) {
      if (oldest.summary.startNanos >= oldestStart) break;
      this.remove(oldest);
      aged.push(oldest);
    }
    return aged;
  }

  /** Replaces a halved profile by its parts, unless it was dropped meanwhile. */
  replace(profile: QueuedProfile, parts: readonly ProfilePart[]): void {
    const at = this.#profiles.indexOf(profile);
    if (at < 0) return;
    this.remove(profile);
    const halves = parts.map((part) =>
      queued({ type: profile.type, ...part }, profile.halvings + 1),
    );
    this.#profiles.splice(at, 0, ...halves);
    for (const { gzipped } of parts) this.#bytes += gzipped.length;
  }

  remove(profile: QueuedProfile): void {
    const at = this.#profiles.indexOf(profile);
    if (at < 0) return;
    this.#profiles.splice(at, 1);
    this.#bytes -= profile.gzipped.length;
  }

  /** Empties the queue, and returns its profiles. */
  clear(): QueuedProfile[] {
    const profiles = this.#profiles;
    this.#profiles = [];
    this.#bytes = 0;
    return profiles;
  }
}

function queued({ type, gzipped, summary }: NewProfile, halvings: number): QueuedProfile {
  return {
    id: randomUUID(),
    type,
    gzipped,
    summary,
    tries: 0,
    ownFailures: 0,
    uploadsAtFailure: Infinity,
    halvings,
  };
}
