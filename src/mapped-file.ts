/** One compiled file and its source map: from compiled places to original ones (pure). */
import {
  FlattenMap,
  GREATEST_LOWER_BOUND,
  LEAST_UPPER_BOUND,
  decodedMappings,
  originalPositionFor,
  type TraceMap,
} from '@jridgewell/trace-mapping';
import type { SourceFunction } from './pprof.js';

/** Mappings of one file; 64 bytes each, roughly. A map with more is refused. */
const MAX_MAPPINGS = 2_000_000;
const MAPPING_BYTES = 64;

/**
 * The URL in the last `//# sourceMappingURL=` comment, or undefined.
 * https://tc39.es/ecma426/#sec-extracting-javascript
 */
export function sourceMapUrl(text: string): string | undefined {
  for (let end = text.length; end > 0;) {
    const at = text.lastIndexOf('sourceMappingURL=', end - 1);
    if (at < 0) return undefined;
    // In a string it is no comment: the bundlers' own code is full of those.
    if (/(?:^|[\r\n\s;}])\/[/*][#@]\s*$/.test(text.slice(Math.max(0, at - 8), at))) {
      const begin = at + 'sourceMappingURL='.length;
      const rest = /[\s*'"`]/g;
      rest.lastIndex = begin;
      const stop = rest.exec(text)?.index ?? text.length;
      if (stop > begin) return text.slice(begin, stop);
    }
    end = at;
  }
  return undefined;
}

/**
 * Parses a map, plain or of sections. `url` is where it lies, `text` the compiled file.
 * Throws an Error of any kind where the map is broken or too large.
 */
export function parseSourceMap(json: string, url: string, text: string): MappedFile {
  // Some servers put a line in front, against inclusion as a script.
  const start = json.startsWith(")]}'") ? json.indexOf('\n') + 1 : 0;
  const input = JSON.parse(json.slice(start)) as Record<string, unknown>;
  if (typeof input !== 'object' || input === null) throw new Error('it is not an object');
  checkMappings(input);
  dropContents(input);
  const map = FlattenMap(input as unknown as Parameters<typeof FlattenMap>[0], url);
  const count = decodedMappings(map).reduce((sum, line) => sum + line.length + 1, 0);
  return new MappedFile(map, text, count * MAPPING_BYTES + 2 * text.length);
}

/** Refuses what would take too much memory once decoded. */
function checkMappings(input: Record<string, unknown>): void {
  let count = 0;
  const visit = (map: Record<string, unknown>): void => {
    const { sections, mappings } = map;
    if (Array.isArray(sections)) {
      for (const section of sections) visit((section as { map: Record<string, unknown> }).map);
      return;
    }
    if (typeof mappings !== 'string') throw new Error('it has no mappings');
    if (!Array.isArray(map['sources'])) throw new Error('it has no sources');
    for (let at = 0; at < mappings.length; at++) {
      const letter = mappings.charCodeAt(at);
      if (letter === 0x2c /* , */ || letter === 0x3b /* ; */) count++;
    }
    if (count > MAX_MAPPINGS) throw new Error(`it has more than ${String(MAX_MAPPINGS)} mappings`);
  };
  visit(input);
}

/** The original texts are most of a map, and not needed. */
function dropContents(map: Record<string, unknown>): void {
  delete map['sourcesContent'];
  const { sections } = map;
  if (!Array.isArray(sections)) return;
  for (const section of sections) dropContents((section as { map: Record<string, unknown> }).map);
}

/** A compiled file whose map was read. */
export class MappedFile {
  /** Memory held, roughly. */
  readonly bytes: number;
  readonly #map: TraceMap;
  readonly #text: string;
  #lines: readonly string[] | undefined;

  constructor(map: TraceMap, text: string, bytes: number) {
    this.#map = map;
    this.#text = text;
    this.bytes = bytes;
  }

  /** The original of a function, or undefined: the map has none. */
  functionAt({ name, line, column }: SourceFunction): SourceFunction | undefined {
    if (line === 0) return undefined;
    const found = this.#lookUp(line, column);
    if (found === undefined) return undefined;
    const originalName = column === 0 ? undefined : this.#originalName(name, line, column);
    return { ...found, name: originalName ?? name };
  }

  /**
   * The original line of a place within `owner`, a function of this file. Where the map leads into
   * another file (the columns of one long line are not known) it is the function's own.
   */
  lineAt(owner: SourceFunction, line: number, column: number): number | undefined {
    const original = this.functionAt(owner);
    if (original === undefined) return undefined;
    // Of one long line only the function's place in it is known.
    if (column === 0 && line === owner.line) return original.line;
    const found = this.#lookUp(line, column);
    return found?.url === original.url ? found.line : original.line;
  }

  /** Line and column 1-based; column 0: the first that the map knows of that line. */
  #lookUp(line: number, column: number): Omit<SourceFunction, 'name'> | undefined {
    const found = originalPositionFor(this.#map, {
      line,
      column: Math.max(column - 1, 0),
      bias: column === 0 ? LEAST_UPPER_BOUND : GREATEST_LOWER_BOUND,
    });
    // A damaged map may name lines and sources that are not there.
    if (typeof found.source !== 'string' || !(found.line > 0)) return undefined;
    const url = this.#asWritten(found.source);
    if (url === undefined) return undefined;
    return { url, line: found.line, column: found.column + 1 };
  }

  /** Schemes of bundlers ("webpack://") as the map has them, else the resolved URL. */
  #asWritten(source: string): string | undefined {
    const written: unknown = this.#map.sources[this.#map.resolvedSources.indexOf(source)];
    if (typeof written !== 'string' || written === '') return undefined;
    return /^(?!file:)[a-z][a-z\d+.-]+:\/\//i.test(written) ? written : source;
  }

  /**
   * What the function was called before it was compiled: where the map gives a name to the
   * identifier that stands before the function's parameters, as in `name(a, b)`, or before the
   * function, as in `name=function(a, b)` and `name:a=>b`.
   */
  #originalName(name: string, line: number, column: number): string | undefined {
    if (!/^[\w$]+$/.test(name)) return undefined;
    this.#lines ??= this.#text.split(/\r?\n/);
    const before = this.#lines[line - 1]?.slice(
      Math.max(0, column - 1 - name.length - 40),
      column - 1,
    );
    if (before === undefined) return undefined;
    const match = /([\w$]+)\s*(?:[=:]\s*(?:async\s*)?(?:function\b\s*\*?\s*)?)?$/.exec(before);
    if (match?.[1] !== name) return undefined;
    const start = column - 1 - (before.length - match.index);
    const found = originalPositionFor(this.#map, { line, column: start });
    // The mapping has to begin there: the one before it may name something else.
    return found.name !== null && this.#beginsAt(line, start) ? found.name : undefined;
  }

  #beginsAt(line: number, column: number): boolean {
    const segments = decodedMappings(this.#map)[line - 1] ?? [];
    let low = 0;
    let high = segments.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const found = (segments[middle] as readonly number[])[0] as number;
      if (found === column) return true;
      if (found < column) low = middle + 1;
      else high = middle - 1;
    }
    return false;
  }
}
