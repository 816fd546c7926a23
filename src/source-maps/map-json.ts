/** Finds what is needed of a source map in its JSON text, in steps: JSON.parse of a large one is one long turn. */
import { uint32Column } from '../profile/model.js';

/** Sources, and names, of one map. A map with more is refused. */
const MAX_TEXTS = 500_000;
/** What is nested deeper is refused. */
const MAX_DEPTH = 32;
/** Bytes of a string, and elements of a list, that are gone through in one step. */
const STEP_BYTES = 65_536;
const STEP_ELEMENTS = 64;
/** Longest text that is taken: a name, a path. */
const MAX_TEXT_BYTES = 4_096;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** Why a map cannot be used. No message has anything of the file's content: it may be anybody's secret. */
export class SourceMapError extends Error {}

/** Texts of a list, in JSON; what is no text is none. */
export class Texts {
  readonly #bytes: Buffer;
  readonly #starts: Uint32Array;

  /** For `of`. */
  constructor(bytes: Buffer, starts: Uint32Array) {
    this.#bytes = bytes;
    this.#starts = starts;
  }

  /** Copies the texts between those offsets, so that the rest of `json` can be let go. */
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

  /** Memory held. */
  get bytes(): number {
    return this.#bytes.length + this.#starts.byteLength;
  }

  /** The text of that number; undefined where there is none, or it is too long. */
  at(index: number): string | undefined {
    const begin = this.#starts[index];
    const end = this.#starts[index + 1];
    if (begin === undefined || end === undefined || begin === end) return undefined;
    return parseText(this.#bytes, begin, end);
  }
}

/** A map, or one section of a map. */
export interface MapContent {
  /** Where the content of `mappings` is in the JSON text. */
  readonly mappings: { readonly begin: number; readonly end: number };
  readonly sources: Texts;
  readonly names: Texts;
  /** '' for none. */
  readonly sourceRoot: string;
  /** Where the section begins; both 0-based. */
  readonly line: number;
  readonly column: number;
}

/** The map, or its sections, in steps. Throws a SourceMapError. */
export function* scanSourceMap(json: Buffer): Generator<void, readonly MapContent[]> {
  return yield* new Scanner(json).read();
}

class Scanner {
  readonly #json: Buffer;
  #at = 0;
  /** Where the step under way ends. */
  #stepEnd = STEP_BYTES;

  constructor(json: Buffer) {
    this.#json = json;
  }

  *read(): Generator<void, MapContent[]> {
    // Some servers put a line in front, against inclusion as a script.
    if (this.#json.toString('latin1', 0, 4) === ")]}'") {
      this.#at = this.#json.indexOf('\n', 0, 'latin1') + 1;
    }
    const found = yield* this.#map(true);
    if (this.#peek() !== undefined) throw this.#broken();
    return found;
  }

  /** One map; of the outermost its sections, if it has any. */
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

  /** A list of texts; an element that is none is an empty one. */
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

  /** A text, or '' for anything else. */
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

  /** A whole number that is not negative. */
  #number(): number {
    const begin = this.#skipSpace();
    this.#skipWord();
    const text = this.#json.toString('latin1', begin, this.#at);
    if (!/^\d{1,9}$/.test(text)) throw this.#broken();
    return Number(text);
  }

  /** A value of any kind. */
  *#skip(): Generator<void, void> {
    /** What closes the lists and objects that are open. */
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

  /** A number, `true`, `false` or `null`: not looked at closely. */
  #skipWord(): void {
    const begin = this.#skipSpace();
    while (/[-+.\dA-Za-z]/.test(String.fromCharCode(this.#json[this.#at] ?? 0))) {
      if (++this.#at - begin > MAX_TEXT_BYTES) throw this.#broken();
    }
    if (this.#at === begin) throw this.#broken();
  }

  /** Goes over a string; returns where its content is, escapes as they are. */
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

  /** Goes into a list or an object; false where it is empty, and behind it then. */
  #open(first: number, close: number): boolean {
    this.#expect(first);
    if (this.#peek() !== close) return true;
    this.#at++;
    return false;
  }

  /** Goes to the next element; false at the end of the list or object, and behind it then. */
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

  /** The next byte that is no space; undefined at the end. */
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

/** The string in JSON between those offsets, quotes included; undefined where it is none, or too long. */
function parseText(json: Buffer, begin: number, end: number): string | undefined {
  if (end - begin > MAX_TEXT_BYTES) return undefined;
  try {
    return JSON.parse(json.toString('utf8', begin, end)) as string;
  } catch {
    return undefined;
  }
}
