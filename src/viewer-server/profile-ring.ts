/** Keeps the last windows of a profile, limited in age and bytes. */

/** Largest age of a window, in milliseconds. Older ones are dropped. */
export const RING_MS = 600_000;
/** Largest size of all windows, gzipped as they are kept, in bytes. The oldest are dropped. */
export const RING_BYTES = 32 * 1_048_576;

interface Window {
  readonly bytes: Uint8Array;
  readonly endMs: number;
}

/** Drops the oldest windows, and counts those that the size limit drops before their age. */
export class ProfileRing {
  readonly #maxMs: number;
  readonly #maxBytes: number;
  readonly #windows: Window[] = [];
  #byteLength = 0;
  #version = 0;
  #droppedWindows = 0;

  constructor(maxMs = RING_MS, maxBytes = RING_BYTES) {
    this.#maxMs = maxMs;
    this.#maxBytes = maxBytes;
  }

  /** Adds a gzipped profile that ended at `endMs`, milliseconds since 1970. */
  add(bytes: Uint8Array, endMs: number): void {
    this.#windows.push({ bytes, endMs });
    this.#byteLength += bytes.length;
    this.#version++;
    while (this.#windows.length > 0) {
      const [{ bytes: oldest, endMs: end }] = this.#windows as [Window];
      const isLate = end < endMs - this.#maxMs;
      if (!isLate && this.#byteLength <= this.#maxBytes) break;
      if (!isLate) this.#droppedWindows++;
      this.#byteLength -= oldest.length;
      this.#windows.shift();
    }
  }

  /** The gzipped profiles, oldest first. */
  get windows(): Uint8Array[] {
    return this.#windows.map(({ bytes }) => bytes);
  }

  /** Changes whenever a window is added. */
  get version(): number {
    return this.#version;
  }

  get byteLength(): number {
    return this.#byteLength;
  }

  /** Windows dropped by the size limit. */
  get droppedWindows(): number {
    return this.#droppedWindows;
  }
}
