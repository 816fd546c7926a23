/** Maps positions of one compiled file to original ones (pure). */
import { CompiledText } from './compiled-text.js';
import type { SourceFunction } from '../pprof/original-positions.js';
import { scanSourceMap, type MapContent } from './map-json.js';
import { Mappings, type Original } from './mappings.js';

/** A compiled file and its map. */
export class MappedFile {
  /** Memory held, roughly, in bytes. */
  readonly bytes: number;
  /** Length of the data URL that contains the map; 0 for a map in a file of its own. */
  readonly inlineBytes: number;
  readonly #text: CompiledText;
  readonly #sections: readonly MapContent[];
  readonly #mappings: Mappings;
  /** The URL of the map, which sources are relative to. */
  readonly #url: string;
  /** URLs of sources by section and number. */
  readonly #sourceUrls = new Map<string, string | undefined>();

  /** Called by `of`. */
  constructor(
    text: CompiledText,
    sections: readonly MapContent[],
    mappings: Mappings,
    url: string,
    inlineBytes: number,
  ) {
    this.inlineBytes = inlineBytes;
    this.#text = text;
    this.#sections = sections;
    this.#mappings = mappings;
    this.#url = url;
    this.bytes = text.bytes + mappings.bytes;
    for (const { sources, names } of sections) this.bytes += sources.bytes + names.bytes;
  }

  /**
   * Reads a map, with or without sections, in steps. `url` is that of the map, `text` the compiled
   * file; without it, functions keep their compiled names. Throws a SourceMapError if the map is
   * broken or too large.
   */
  static *of(
    json: Buffer,
    url: string,
    text: Buffer,
    inlineBytes = 0,
  ): Generator<void, MappedFile> {
    const sections = yield* scanSourceMap(json);
    const mappings = yield* Mappings.of(json, sections);
    return new MappedFile(yield* CompiledText.of(text), sections, mappings, url, inlineBytes);
  }

  /** Returns the original of a function, or undefined if the map has none. */
  functionAt({ name, line, column }: SourceFunction): SourceFunction | undefined {
    if (line === 0) return undefined;
    const found = this.#originalAt(line, column);
    if (found === undefined) return undefined;
    const originalName = column === 0 ? undefined : this.#originalName(name, line, column);
    return { ...found, name: originalName ?? name };
  }

  /**
   * Returns the original line of a position in `owner`, a function of this file. If the map names
   * another file (in one long line the column is unknown), returns the function's own line.
   */
  lineAt(owner: SourceFunction, line: number, column: number): number | undefined {
    const original = this.functionAt(owner);
    if (original === undefined) return undefined;
    // In one long line only the column of the function is known.
    if (column === 0 && line === owner.line) return original.line;
    const found = this.#originalAt(line, column);
    return found?.url === original.url ? found.line : original.line;
  }

  /** Line and column are 1-based; column 0 stands for the first mapping of the line. */
  #originalAt(line: number, column: number): Omit<SourceFunction, 'name'> | undefined {
    const found =
      column === 0 ? this.#mappings.first(line - 1) : this.#mappings.before(line - 1, column - 1);
    const url = found === undefined ? undefined : this.#sourceUrl(found);
    if (found === undefined || url === undefined) return undefined;
    return { url, line: found.line + 1, column: found.column + 1 };
  }

  /** Returns undefined if a damaged map names a source that it does not have. */
  #sourceUrl({ section, source }: Original): string | undefined {
    const key = `${String(section)}:${String(source)}`;
    if (this.#sourceUrls.has(key)) return this.#sourceUrls.get(key);
    const url = this.#resolve(this.#sections[section] as MapContent, source);
    this.#sourceUrls.set(key, url);
    return url;
  }

  /** Returns a URL with a bundler's scheme ("webpack://") unchanged, else the resolved URL. */
  #resolve({ sources, sourceRoot }: MapContent, source: number): string | undefined {
    const written = sources.at(source);
    if (written === undefined || written === '') return undefined;
    if (/^(?!file:)[a-z][a-z\d+.-]+:\/\//i.test(written)) return written;
    const root = sourceRoot === '' || sourceRoot.endsWith('/') ? sourceRoot : `${sourceRoot}/`;
    const path = root + written;
    // Nothing is relative to code without a URL, or in a data: URL; but a path may be absolute.
    const isBase = /^(?!data:)[a-z][a-z\d+.-]*:/i.test(this.#url);
    const base = path.startsWith('/') && !isBase ? 'file:' : this.#url;
    try {
      return new URL(path, base).href;
    } catch {
      return undefined;
    }
  }

  /**
   * Returns the function's name before compilation: the map's name for the identifier before the
   * function's parameters, as in `name(a, b)`, or before the function, as in `name=function(a, b)`
   * and `name:a=>b`.
   */
  #originalName(name: string, line: number, column: number): string | undefined {
    if (!/^[\w$]+$/.test(name)) return undefined;
    const before = this.#text.before(line - 1, column - 1, name.length + 40);
    if (before === undefined) return undefined;
    const match = /([\w$]+)\s*(?:[=:]\s*(?:async\s*)?(?:function\b\s*\*?\s*)?)?$/.exec(before);
    if (match?.[1] !== name) return undefined;
    const start = column - 1 - (before.length - match.index);
    // Only a mapping that begins there: the one before it may name something else.
    if (!this.#mappings.beginsAt(line - 1, start)) return undefined;
    const found = this.#mappings.before(line - 1, start);
    if (found?.name === undefined) return undefined;
    return this.#sections[found.section]?.names.at(found.name);
  }
}
