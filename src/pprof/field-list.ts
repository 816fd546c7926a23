/** Encodes a repeated protobuf field, value after value, into chunks of memory. */

/** Bytes of a tag and a length. */
const MAX_HEAD_BYTES = 1 + 5;
const CHUNK_BYTES = 16_384;

/** Encodes texts, messages or bytes; format https://protobuf.dev/programming-guides/encoding/. */
export class FieldList {
  /** Number of values so far. */
  length = 0;
  readonly #tag: number;
  readonly #chunks: Buffer[] = [];
  #chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  #used = 0;

  /** `field` is its number, 15 at most. */
  constructor(field: number) {
    this.#tag = (field << 3) | 2;
  }

  addText(text: string): void {
    this.#begin(Buffer.byteLength(text));
    this.#used += this.#chunk.write(text, this.#used);
  }

  addBytes(bytes: Uint8Array): void {
    this.#begin(bytes.length);
    this.#chunk.set(bytes, this.#used);
    this.#used += bytes.length;
  }

  /** Returns all values as parts. Nothing may be added afterwards. */
  parts(): Uint8Array[] {
    return [...this.#chunks, this.#chunk.subarray(0, this.#used)];
  }

  #begin(length: number): void {
    this.length++;
    const room = MAX_HEAD_BYTES + length;
    if (this.#used + room > this.#chunk.length) {
      this.#chunks.push(this.#chunk.subarray(0, this.#used));
      this.#chunk = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, room));
      this.#used = 0;
    }
    this.#used = writeHead(this.#chunk, this.#used, this.#tag, length);
  }
}

/** Writes a field's tag and the length of its content; returns the offset of the content. */
export function writeHead(bytes: Uint8Array, begin: number, tag: number, length: number): number {
  let at = begin;
  bytes[at++] = tag;
  let left = length;
  while (left > 0x7f) {
    bytes[at++] = (left & 0x7f) | 0x80;
    left >>>= 7;
  }
  bytes[at++] = left;
  return at;
}
