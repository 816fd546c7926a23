/** Finds lines and columns in the bytes of a compiled file (pure). */
import { uint32Column } from '../profile/model.js';

/** Bytes that are scanned in one step. */
const STEP_BYTES = 16_384;
/** 2 ** BLOCK_BITS bytes are a block, for which the number of characters before it is stored. */
const BLOCK_BITS = 10;
const BLOCK = 2 ** BLOCK_BITS;
const NEWLINE = 0x0a;

const KEY = 'sourceMappingURL=';
/** Bytes that end a URL in a comment. */
const ENDS_URL = new Uint8Array(256);
for (const byte of Buffer.from('\t\n\v\f\r *\'"`')) ENDS_URL[byte] = 1;

/**
 * Returns the offsets of the URL in the last `//# sourceMappingURL=` comment, or undefined; in steps.
 * https://tc39.es/ecma426/#sec-extracting-javascript
 */
export function* findSourceMapUrl(
  text: Buffer,
): Generator<void, { begin: number; end: number } | undefined> {
  let end = text.length;
  while (end > 0) {
    const from = Math.max(0, end - STEP_BYTES);
    const found = text.subarray(from, end).lastIndexOf(KEY, undefined, 'latin1');
    yield;
    if (found < 0) {
      // Pieces overlap, so that a key that begins in one is found.
      end = from === 0 ? 0 : from + KEY.length - 1;
      continue;
    }
    const at = from + found;
    // A key in a string is no comment: the code of bundlers has many of those.
    const before = text.toString('latin1', Math.max(0, at - 8), at);
    if (/(?:^|[\r\n\s;}])\/[/*][#@]\s*$/.test(before)) {
      const begin = at + KEY.length;
      const stop = yield* endOfUrl(text, begin);
      if (stop > begin) return { begin, end: stop };
    }
    // Without its last letter the same key is not found again.
    end = at + KEY.length - 1;
  }
  return undefined;
}

function* endOfUrl(text: Buffer, begin: number): Generator<void, number> {
  for (let at = begin; at < text.length; at++) {
    if (ENDS_URL[text[at] as number] === 1) return at;
    if ((at - begin) % STEP_BYTES === STEP_BYTES - 1) yield;
  }
  return text.length;
}

/** A text in UTF-8, whose columns are counted in UTF-16, as V8 does. */
export class CompiledText {
  readonly #text: Buffer;
  /** Offsets of the beginnings of lines. */
  readonly #lines = uint32Column();
  /** Number of characters, in UTF-16, before each block. */
  readonly #blocks = uint32Column();

  /** Called by `of`. */
  constructor(text: Buffer) {
    this.#text = text;
  }

  /** Scans the text in steps. */
  static *of(text: Buffer): Generator<void, CompiledText> {
    const found = new CompiledText(text);
    yield* found.#index();
    return found;
  }

  /** Memory held, in bytes. */
  get bytes(): number {
    return this.#text.length + 4 * (this.#lines.length + this.#blocks.length);
  }

  /**
   * Returns at most `length` characters before a position, or undefined if there is no such position.
   * `line` and `column` are 0-based.
   */
  before(line: number, column: number, length: number): string | undefined {
    if (!(line >= 0 && line < this.#lines.length)) return undefined;
    const begin = this.#lines.at(line);
    const end = this.#offsetOf(this.#charactersBefore(begin) + column);
    const next = line + 1 < this.#lines.length ? this.#lines.at(line + 1) : this.#text.length;
    if (end === undefined || end > next) return undefined;
    // A character of UTF-16 has three bytes at most; the first one may be incomplete.
    const from = Math.max(begin, end - 3 * length);
    return this.#text.toString('utf8', from, end).slice(-length);
  }

  *#index(): Generator<void, void> {
    const text = this.#text;
    this.#lines.push(0);
    let characters = 0;
    for (let begin = 0; begin < text.length; begin += BLOCK) {
      this.#blocks.push(characters);
      const end = Math.min(begin + BLOCK, text.length);
      for (let at = begin; at < end; at++) {
        const byte = text[at] as number;
        characters += charactersOf(byte);
        if (byte === NEWLINE) this.#lines.push(at + 1);
      }
      if (begin % STEP_BYTES === 0) yield;
    }
  }

  #charactersBefore(offset: number): number {
    const block = Math.min(offset >>> BLOCK_BITS, this.#blocks.length - 1);
    if (block < 0) return 0;
    let characters = this.#blocks.at(block);
    for (let at = block * BLOCK; at < offset; at++)
      characters += charactersOf(this.#text[at] as number);
    return characters;
  }

  /** Returns the offset of a character, or undefined if there are fewer. */
  #offsetOf(character: number): number | undefined {
    let low = 0;
    let high = this.#blocks.length;
    while (low + 1 < high) {
      const middle = (low + high) >>> 1;
      if (this.#blocks.at(middle) <= character) low = middle;
      else high = middle;
    }
    if (high === 0) return character === 0 ? 0 : undefined;
    let left = character - this.#blocks.at(low);
    for (let at = low * BLOCK; at < this.#text.length; at++) {
      const count = charactersOf(this.#text[at] as number);
      // Continuation bytes belong to the character.
      if (left <= 0 && count > 0) return at;
      left -= count;
    }
    return left <= 0 ? this.#text.length : undefined;
  }
}

/** Returns the length in UTF-16 of the character that a byte begins; 0 for a continuation byte. */
function charactersOf(byte: number): number {
  if ((byte & 0xc0) === 0x80) return 0;
  return byte >= 0xf0 ? 2 : 1;
}
