/** Lists of numbers as keys of a Map: as text, each byte a character of it. */

/** Where a list is put to become a key. */
export class NumberKey {
  readonly ids: Uint32Array;
  readonly #bytes: Buffer;

  constructor(length: number) {
    const memory = new ArrayBuffer(4 * length);
    this.ids = new Uint32Array(memory);
    this.#bytes = Buffer.from(memory);
  }

  /** One with room for twice as many, and the same numbers. */
  twice(): NumberKey {
    const larger = new NumberKey(2 * this.ids.length);
    larger.ids.set(this.ids);
    return larger;
  }

  /** The first `count` of the ids. */
  keyOf(count: number): string {
    return this.#bytes.toString('latin1', 0, 4 * count);
  }
}
