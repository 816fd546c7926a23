/** Lists of numbers as keys of a Map: strings with one character per byte. */

/** A buffer for a list of numbers, from which keys are made. */
export class NumberKey {
  readonly ids: Uint32Array;
  readonly #bytes: Buffer;

  constructor(length: number) {
    const memory = new ArrayBuffer(4 * length);
    this.ids = new Uint32Array(memory);
    this.#bytes = Buffer.from(memory);
  }

  /** Returns a copy with room for twice as many numbers. */
  twice(): NumberKey {
    const larger = new NumberKey(2 * this.ids.length);
    larger.ids.set(this.ids);
    return larger;
  }

  /** Returns the key of the first `count` ids. */
  keyOf(count: number): string {
    return this.#bytes.toString('latin1', 0, 4 * count);
  }
}
