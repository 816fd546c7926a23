/** The text of a compiled file as it was read: its bytes, in which lines and columns are found (pure). */
import { uint32Column } from '../profile/model.js';

/** Bytes that are gone through in one step. */
const STEP_BYTES = 16_384;
/** Bytes of which one number says how many characters come before them. */
const BLOCK_BITS = 10;
const BLOCK = 2 ** BLOCK_BITS;
const NEWLINE = 0x0a;

const KEY = 'sourceMappingURL=';
/** Bytes that a URL in a comment ends before. */
const ENDS_URL = new Uint8Array(256);
for (const byte of Buffer.from('\t\n\v\f\r *\'"`')) ENDS_URL[byte] = 1;

/**
 * Where the URL in the last `//# sourceMappingURL=` comment is, or undefined; in steps.
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
      // The next piece has the beginning of what may be cut in two here.
      end = from === 0 ? 0 : from + KEY.length - 1;
      continue;
    }
    const at = from + found;
    // In a string it is no comment: the bundlers' own code is full of those.
    const before = text.toString('latin1', Math.max(0, at - 8), at);
    if (/(?:^|[\r\n\s;}])\/[/*][#@]\s*$/.test(before)) {
      const begin = at + KEY.length;
      const stop = yield* endOfUrl(text, begin);
      if (stop > begin) return { begin, end: stop };
    }
    // Without the key's last letter it is not found again.
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

/** UTF-8, of which columns count in UTF-16, as V8 counts them. */
export class CompiledText {
  readonly #text: Buffer;
  /** Offsets at which lines begin. */
  readonly #lines = uint32Column();
  /** Characters, in UTF-16, before each block. */
  readonly #blocks = uint32Column();

  /** For `of`. */
  constructor(text: Buffer) {
    this.#text = text;
  }

  /** Goes through the text in steps. */
  static *of(text: Buffer): Generator<void, CompiledText> {
    const found = new CompiledText(text);
    yield* found.#index();
    return found;
  }

  /** Memory held. */
  get bytes(): number {
    return this.#text.length + 4 * (this.#lines.length + this.#blocks.length);
  }

  /**
   * At most `length` characters before a place; `line` and `column` are 0-based. Undefined where
   * there is no such place.
   */
  before(line: number, column: number, length: number): string | undefined {
    if (!(line >= 0 && line < this.#lines.length)) return undefined;
    const begin = this.#lines.at(line);
    const end = this.#offsetOf(this.#charactersBefore(begin) + column);
    const next = line + 1 < this.#lines.length ? this.#lines.at(line + 1) : this.#text.length;
    if (end === undefined || end > next) return undefined;
    // A character of UTF-16 has three bytes at most; what is cut off may not be whole.
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

  /** The offset at which a character begins; undefined: there are not so many. */
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
      // The bytes that go on with a character belong to it.
      if (left <= 0 && count > 0) return at;
      left -= count;
    }
    return left <= 0 ? this.#text.length : undefined;
  }
}

/** Of a byte that begins a character, in UTF-16; 0 for one that goes on with it. */
function charactersOf(byte: number): number {
  if ((byte & 0xc0) === 0x80) return 0;
  return byte >= 0xf0 ? 2 : 1;
}
