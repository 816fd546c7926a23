/** Scans the JSON text of a source map in steps, because JSON.parse of a large one is one long turn of the event loop. */
import { uint32Column } from '../profile/model.js';

/** Most sources, and most names, of one map. A map with more is refused. */
const MAX_TEXTS = 500_000;
/** Deepest nesting. Deeper JSON is refused. */
const MAX_DEPTH = 32;
/** Bytes of a string, and elements of a list, that are scanned in one step. */
const STEP_BYTES = 65_536;
const STEP_ELEMENTS = 64;
/** Longest text that is used, such as a name or a path. */
const MAX_TEXT_BYTES = 4_096;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** The reason why a map cannot be used. Messages have no content of the file, which may be a secret. */
export class SourceMapError extends Error {}

/** The texts of a JSON list, as JSON; an element that is no text is undefined. */
export class Texts {
  readonly #bytes: Buffer;
  readonly #starts: Uint32Array;

  /** Called by `of`. */
  constructor(bytes: Buffer, starts: Uint32Array) {
    this.#bytes = bytes;
    this.#starts = starts;
  }

  /** Copies the texts between the offsets, so that `json` can be freed. */
  static *of(json: Buffer, begins: Uint32Array, ends: Uint32Array): Generator<void, Texts> {
    const starts = new Uint32Array(begins.length + 1);
    for (let i = 0; i < begins.length; i++) {
      starts[i + 1] = (starts[i] as number) + (ends[i] as number) - (begins[i] as number);
      if (i % STEP_ELEMENTS === 0) yield;
    }
    const bytes = Buffer.allocUnsafeSlow(starts[begins.length] as number);
    for (let i = 0; i < begins.length; i++) {
      json.copy(bytes, starts[i], begins[i], ends[i]);
      if (i % STEP_ELEMENTS === 0) yield;
    }
    return new Texts(bytes, starts);
  }

  /** Memory held, in bytes. */
  get bytes(): number {
    return this.#bytes.length + this.#starts.byteLength;
  }

  /** Returns the text with this index, or undefined if there is none, or it is too long. */
  at(index: number): string | undefined {
    const begin = this.#starts[index];
    const end = this.#starts[index + 1];
    if (begin === undefined || end === undefined || begin === end) return undefined;
    return parseText(this.#bytes, begin, end);
  }
}

/** A map, or one section of a map. */
export interface MapContent {
  /** Offsets of the content of `mappings` in the JSON text. */
  readonly mappings: { readonly begin: number; readonly end: number };
  readonly sources: Texts;
  readonly names: Texts;
  /** '' for none. */
  readonly sourceRoot: string;
  /** Generated line and column where the section begins; both 0-based. */
  readonly line: number;
  readonly column: number;
}

/** Returns the map, or its sections, in steps. Throws a SourceMapError. */
export function* scanSourceMap(json: Buffer): Generator<void, readonly MapContent[]> {
  return yield* new Scanner(json).read();
}

class Scanner {
  readonly #json: Buffer;
  #at = 0;
  /** Offset where the current step ends. */
  #stepEnd = STEP_BYTES;

  constructor(json: Buffer) {
    this.#json = json;
  }

  *read(): Generator<void, MapContent[]> {
    // Some servers add a first line, to prevent inclusion as a script.
    if (this.#json.toString('latin1', 0, 4) === ")]}'") {
      this.#at = this.#json.indexOf('\n', 0, 'latin1') + 1;
    }
    const found = yield* this.#map(true);
    if (this.#peek() !== undefined) throw this.#broken();
    return found;
  }

  /** Scans one map. Returns its sections, if it is the outermost one and has any. */
  *#map(isOutermost: boolean): Generator<void, MapContent[]> {
    let mappings: MapContent['mappings'] | undefined;
    let sources: Texts | undefined;
    let names: Texts | undefined;
    let sections: MapContent[] | undefined;
    let sourceRoot = '';
    for (let more = this.#open(OPEN_OBJECT, CLOSE_OBJECT); more; more = this.#more(CLOSE_OBJECT)) {
      const key = yield* this.#key();
      if (key === 'mappings') mappings = yield* this.#string();
      else if (key === 'sources') sources = yield* this.#texts();
      else if (key === 'names') names = yield* this.#texts();
      else if (key === 'sourceRoot') sourceRoot = yield* this.#text();
      else if (key === 'sections') {
        if (!isOutermost) throw new SourceMapError('it has sections within sections');
        sections = yield* this.#sections();
      } else yield* this.#skip();
    }
    if (sections !== undefined) return sections;
    if (mappings === undefined) throw new SourceMapError('it has no mappings');
    if (sources === undefined) throw new SourceMapError('it has no sources');
    names ??= yield* Texts.of(this.#json, new Uint32Array(0), new Uint32Array(0));
    return [{ mappings, sources, names, sourceRoot, line: 0, column: 0 }];
  }

  *#sections(): Generator<void, MapContent[]> {
    const sections: MapContent[] = [];
    for (let more = this.#open(OPEN_LIST, CLOSE_LIST); more; more = this.#more(CLOSE_LIST)) {
      let map: MapContent | undefined;
      const offset = { line: 0, column: 0 };
      for (
        let inner = this.#open(OPEN_OBJECT, CLOSE_OBJECT);
        inner;
        inner = this.#more(CLOSE_OBJECT)
      ) {
        const key = yield* this.#key();
        if (key === 'map') [map] = yield* this.#map(false);
        else if (key === 'offset') yield* this.#offset(offset);
        else yield* this.#skip();
      }
      if (map === undefined) throw new SourceMapError('it has a section without a map');
      sections.push({ ...map, ...offset });
      if (sections.length > MAX_TEXTS) throw new SourceMapError('it has too many sections');
    }
    return sections;
  }

  *#offset(offset: { line: number; column: number }): Generator<void, void> {
    for (let more = this.#open(OPEN_OBJECT, CLOSE_OBJECT); more; more = this.#more(CLOSE_OBJECT)) {
      const key = yield* this.#key();
      if (key === 'line') offset.line = this.#number();
      else if (key === 'column') offset.column = this.#number();
      else yield* this.#skip();
    }
  }

  /** Scans a list of texts; an element that is none becomes an empty one. */
  *#texts(): Generator<void, Texts> {
    const begins = uint32Column();
    const ends = uint32Column();
    for (let more = this.#open(OPEN_LIST, CLOSE_LIST); more; more = this.#more(CLOSE_LIST)) {
      const begin = this.#skipSpace();
      const isText = this.#json[begin] === QUOTE;
      yield* this.#skip();
      begins.push(begin);
      ends.push(isText ? this.#at : begin);
      if (begins.length > MAX_TEXTS) throw new SourceMapError('it has too many sources or names');
      if (begins.length % STEP_ELEMENTS === 0) yield;
    }
    return yield* Texts.of(this.#json, yield* begins.take(), yield* ends.take());
  }

  /** Scans a value. Returns its text, or '' if it is none. */
  *#text(): Generator<void, string> {
    const begin = this.#skipSpace();
    const isText = this.#json[begin] === QUOTE;
    yield* this.#skip();
    return isText ? (parseText(this.#json, begin, this.#at) ?? '') : '';
  }

  *#key(): Generator<void, string> {
    if (this.#peek() !== QUOTE) throw this.#broken();
    const key = yield* this.#text();
    this.#expect(COLON);
    return key;
  }

  /** Scans a whole number that is not negative. */
  #number(): number {
    const begin = this.#skipSpace();
    this.#skipWord();
    const text = this.#json.toString('latin1', begin, this.#at);
    if (!/^\d{1,9}$/.test(text)) throw this.#broken();
    return Number(text);
  }

  /** Skips a value of any kind. */
  *#skip(): Generator<void, void> {
    /** Closing bytes of the open lists and objects. */
    const open: number[] = [];
    let elements = 0;
    do {
      const first = this.#peek();
      if (first === QUOTE) yield* this.#string();
      else if (first === OPEN_LIST || first === OPEN_OBJECT) {
        const close = first === OPEN_LIST ? CLOSE_LIST : CLOSE_OBJECT;
        if (this.#open(first, close)) {
          if (open.push(close) > MAX_DEPTH) throw new SourceMapError('it is nested too deep');
          if (close === CLOSE_OBJECT) yield* this.#key();
          continue;
        }
      } else this.#skipWord();
      while (open.length > 0) {
        const close = open[open.length - 1] as number;
        if (!this.#more(close)) {
          open.pop();
          continue;
        }
        if (close === CLOSE_OBJECT) yield* this.#key();
        break;
      }
      if (++elements % STEP_ELEMENTS === 0) yield;
    } while (open.length > 0);
  }

  /** Skips a number, `true`, `false` or `null`, whose syntax is not checked. */
  #skipWord(): void {
    const begin = this.#skipSpace();
    while (/[-+.\dA-Za-z]/.test(String.fromCharCode(this.#json[this.#at] ?? 0))) {
      if (++this.#at - begin > MAX_TEXT_BYTES) throw this.#broken();
    }
    if (this.#at === begin) throw this.#broken();
  }

  /** Skips a string; returns the offsets of its content, in which escapes are not decoded. */
  *#string(): Generator<void, { begin: number; end: number }> {
    this.#expect(QUOTE);
    const begin = this.#at;
    let from = begin;
    for (;;) {
      if (from >= this.#json.length) throw this.#broken();
      if (from >= this.#stepEnd) {
        this.#stepEnd = from + STEP_BYTES;
        yield;
      }
      const found = this.#json.subarray(from, from + STEP_BYTES).indexOf(QUOTE);
      if (found < 0) {
        from += STEP_BYTES;
        continue;
      }
      const end = from + found;
      from = end + 1;
      let escapes = 0;
      while (end - escapes > begin && this.#json[end - escapes - 1] === BACKSLASH) escapes++;
      if (escapes % 2 === 1) continue;
      this.#at = from;
      return { begin, end };
    }
  }

  /** Enters a list or an object. If it is empty, skips it and returns false. */
  #open(first: number, close: number): boolean {
    this.#expect(first);
    if (this.#peek() !== close) return true;
    this.#at++;
    return false;
  }

  /** Moves to the next element. At the end of the list or object, moves behind it and returns false. */
  #more(close: number): boolean {
    const next = this.#peek();
    if (next !== COMMA && next !== close) throw this.#broken();
    this.#at++;
    return next === COMMA;
  }

  #expect(byte: number): void {
    if (this.#peek() !== byte) throw this.#broken();
    this.#at++;
  }

  /** Skips spaces. Returns the next byte, or undefined at the end. */
  #peek(): number | undefined {
    return this.#json[this.#skipSpace()];
  }

  #skipSpace(): number {
    const begin = this.#at;
    for (;;) {
      const byte = this.#json[this.#at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return this.#at;
      if (++this.#at - begin > STEP_BYTES) throw this.#broken();
    }
  }

  #broken(): SourceMapError {
    return new SourceMapError(`it is no JSON of a source map (at byte ${String(this.#at)})`);
  }
}

/** Parses the JSON string between two offsets, quotes included; returns undefined if it is none, or too long. */
function parseText(json: Buffer, begin: number, end: number): string | undefined {
  if (end - begin > MAX_TEXT_BYTES) return undefined;
  try {
    return JSON.parse(json.toString('utf8', begin, end)) as string;
  } catch {
    return undefined;
  }
}
