/** The mappings of a source map as columns of numbers, decoded in steps. */
import { uint32Column } from '../profile/model.js';
import { SourceMapError, type MapContent } from './map-json.js';

/** Most mappings, and most lines, of one file. A map with more is refused. */
const MAX_MAPPINGS = 2_000_000;
/** Bytes that are decoded in one step. */
const STEP_BYTES = 4_096;

const COMMA = 0x2c;
const SEMICOLON = 0x3b;
const BACKSLASH = 0x5c;
const SLASH = 0x2f;

/** Values of the digits of base64, 255 for other bytes. */
const DIGITS = new Uint8Array(256).fill(255);
for (const [value, letter] of [
  ...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/',
].entries()) {
  DIGITS[letter.charCodeAt(0)] = value;
}

/** The original position of a mapping; all numbers are 0-based. */
export interface Original {
  /** Index of the map's section, and of the source and name in it. */
  readonly section: number;
  readonly source: number;
  readonly line: number;
  readonly column: number;
  /** Undefined if the mapping has no name. */
  readonly name: number | undefined;
}

/**
 * All mappings of a map, by generated line and column; both 0-based.
 * Format: https://tc39.es/ecma426/#sec-mappings
 */
export class Mappings {
  /** Index of the first mapping of each generated line. */
  readonly #lines = uint32Column();
  readonly #columns = uint32Column();
  /** 1 more than the section's index; 0 if the mapping has no original. */
  readonly #sections = uint32Column();
  readonly #sources = uint32Column();
  readonly #originalLines = uint32Column();
  readonly #originalColumns = uint32Column();
  /** 1 more than the name's index; 0 for none. */
  readonly #names = uint32Column();

  /** Decodes the mappings of the sections in steps. Throws a SourceMapError. */
  static *of(json: Buffer, sections: readonly MapContent[]): Generator<void, Mappings> {
    const mappings = new Mappings();
    for (const [number, section] of sections.entries()) {
      yield* mappings.#add(json, number, section, sections[number + 1]);
    }
    return mappings;
  }

  /** Memory held, in bytes. */
  get bytes(): number {
    return 4 * (this.#lines.length + 6 * this.#columns.length);
  }

  /** Returns the mapping at a position, or the last before it in its line. */
  before(line: number, column: number): Original | undefined {
    const found = this.#firstFrom(line, column);
    if (found === undefined) return undefined;
    // The first of several at one position.
    if (found < this.#end(line) && this.#columns.at(found) === column) return this.#original(found);
    return found === this.#lines.at(line) ? undefined : this.#original(found - 1);
  }

  /** Returns the first mapping of a line. */
  first(line: number): Original | undefined {
    const found = this.#firstFrom(line, 0);
    if (found === undefined || found === this.#end(line)) return undefined;
    // The last of several at one position.
    let last = found;
    while (last + 1 < this.#end(line) && this.#columns.at(last + 1) === 0) last++;
    return this.#original(last);
  }

  /** Returns whether a mapping begins at a position. */
  beginsAt(line: number, column: number): boolean {
    const found = this.#firstFrom(line, column);
    return found !== undefined && found < this.#end(line) && this.#columns.at(found) === column;
  }

  /** Returns the first mapping at or behind the column, or the line's end; undefined if there is no such line. */
  #firstFrom(line: number, column: number): number | undefined {
    if (!(line >= 0 && line < this.#lines.length)) return undefined;
    let low = this.#lines.at(line);
    let high = this.#end(line);
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#columns.at(middle) < column) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #end(line: number): number {
    return line + 1 < this.#lines.length ? this.#lines.at(line + 1) : this.#columns.length;
  }

  #original(index: number): Original | undefined {
    const section = this.#sections.at(index);
    if (section === 0) return undefined;
    const name = this.#names.at(index);
    return {
      section: section - 1,
      source: this.#sources.at(index),
      line: this.#originalLines.at(index),
      column: this.#originalColumns.at(index),
      name: name === 0 ? undefined : name - 1,
    };
  }

  *#add(
    json: Buffer,
    section: number,
    { mappings, line, column }: MapContent,
    next: MapContent | undefined,
  ): Generator<void, void> {
    if (next !== undefined && isBefore(next.line, next.column, line, column)) {
      throw new SourceMapError('its sections are not in order');
    }
    this.#goTo(line);
    let shift = column;
    /** Generated column, source, original line, original column, name. */
    const state = [0, 0, 0, 0, 0];
    const reader = new NumberReader(json, mappings.end);
    let { begin: at } = mappings;
    let stepEnd = at + STEP_BYTES;
    let lineNow = line;
    while (at < mappings.end) {
      const byte = json[at];
      if (byte === COMMA) at++;
      else if (byte === SEMICOLON) {
        at++;
        lineNow++;
        // Mappings behind the section's end are ignored.
        if (next !== undefined && lineNow > next.line) return;
        this.#goTo(lineNow);
        state[0] = 0;
        shift = 0;
      } else {
        const fields = reader.read(at, state);
        at = reader.at;
        const generated = (state[0] as number) + shift;
        if (next === undefined || isBefore(lineNow, generated, next.line, next.column)) {
          this.#push(lineNow, generated, section, fields, state);
        }
      }
      if (at < stepEnd) continue;
      stepEnd = at + STEP_BYTES;
      yield;
    }
  }

  #push(line: number, column: number, section: number, fields: number, state: number[]): void {
    const count = this.#columns.length;
    if (count > this.#lines.at(line) && this.#columns.at(count - 1) > column) {
      throw new SourceMapError('its mappings are not in order');
    }
    this.#columns.push(column);
    const hasOriginal = fields > 1;
    this.#sections.push(hasOriginal ? section + 1 : 0);
    this.#sources.push(hasOriginal ? (state[1] as number) : 0);
    this.#originalLines.push(hasOriginal ? (state[2] as number) : 0);
    this.#originalColumns.push(hasOriginal ? (state[3] as number) : 0);
    this.#names.push(fields === 5 ? (state[4] as number) + 1 : 0);
    if (count >= MAX_MAPPINGS) throw tooMany();
  }

  /** Begins all lines up to `line`. */
  #goTo(line: number): void {
    if (line > MAX_MAPPINGS) throw tooMany();
    while (this.#lines.length <= line) this.#lines.push(this.#columns.length);
  }
}

function isBefore(line: number, column: number, otherLine: number, otherColumn: number): boolean {
  return line < otherLine || (line === otherLine && column < otherColumn);
}

function tooMany(): SourceMapError {
  return new SourceMapError(`it has more than ${String(MAX_MAPPINGS)} mappings`);
}

/** Reads the fields of one mapping after another. */
class NumberReader {
  /** Offset behind the mapping that was read. */
  at = 0;
  readonly #json: Buffer;
  readonly #end: number;

  constructor(json: Buffer, end: number) {
    this.#json = json;
    this.#end = end;
  }

  /** Adds the fields of the mapping at `begin` to `state`; returns how many it has: 1, 4 or 5. */
  read(begin: number, state: number[]): number {
    this.at = begin;
    let fields = 0;
    while (this.at < this.#end) {
      const byte = this.#json[this.at];
      if (byte === COMMA || byte === SEMICOLON) break;
      if (fields === 5) throw broken();
      const value = (state[fields] as number) + this.#number();
      if (!(value >= 0 && value < 2 ** 31)) throw broken();
      state[fields++] = value;
    }
    if (fields !== 1 && fields !== 4 && fields !== 5) throw broken();
    return fields;
  }

  /** Base64 VLQ: https://tc39.es/ecma426/#sec-base64-vlq */
  #number(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 5) {
      const digit = this.#digit();
      value += (digit & 31) * 2 ** shift;
      if (digit < 32) return value % 2 === 0 ? value / 2 : -(value - 1) / 2;
    }
    throw broken();
  }

  #digit(): number {
    if (this.at >= this.#end) throw broken();
    let byte = this.#json[this.at++] as number;
    // JSON may escape a slash.
    if (byte === BACKSLASH) {
      byte = this.#json[this.at++] as number;
      if (byte !== SLASH) throw broken();
    }
    const digit = DIGITS[byte] as number;
    if (digit > 63) throw broken();
    return digit;
  }
}

function broken(): SourceMapError {
  return new SourceMapError('its mappings are broken');
}
