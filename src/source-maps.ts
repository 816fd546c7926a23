/** Finds the original places of compiled code, through the source maps beside it. */
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { warnOnce } from './diagnostics.js';
import { fileStatus, fileText, run, runSync, type FileSteps } from './file-steps.js';
import type * as MappedFiles from './mapped-file.js';
import type { MappedFile } from './mapped-file.js';
import type { OriginalPositions, SourceFunction } from './pprof.js';

/** Larger files and maps are left alone: a map is parsed in one turn of the event loop. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;
/** Memory for maps, roughly. The longest unused are forgotten; one collect uses no more than this. */
const MAX_CACHE_BYTES = 128 * 1024 * 1024;
/**
 * Compiled files and maps that one collect without the event loop reads: it holds up the end of the
 * process, by about a second at most. Of more the last ones are not used.
 */
export const MAX_SYNC_BYTES = 32 * 1024 * 1024;
/** Files remembered, those without a map included. The longest unused are forgotten. */
const MAX_CACHE_FILES = 2_000;

/** What one collect may still read. */
interface ReadLimit {
  /** Below 0: something was not read for it. */
  bytes: number;
}

interface CachedFile {
  /** Of the compiled file: another one is read again. */
  readonly mtimeMs: number;
  readonly size: number;
  /** Undefined: the file has no usable map. */
  readonly mapped: MappedFile | undefined;
}

/** The files of one collect. */
class LoadedMaps implements OriginalPositions {
  readonly #files: ReadonlyMap<string, MappedFile>;

  constructor(files: ReadonlyMap<string, MappedFile>) {
    this.#files = files;
  }

  functionAt(compiled: SourceFunction): SourceFunction {
    return this.#files.get(compiled.url)?.functionAt(compiled) ?? compiled;
  }

  lineAt(compiled: SourceFunction, line: number, column: number): number | undefined {
    return this.#files.get(compiled.url)?.lineAt(compiled, line, column);
  }
}

/**
 * Reads maps when a profile is collected, never while sampling. What is broken, missing or too
 * large leaves the compiled position.
 */
export class SourceMaps {
  /** By path, the longest unused first. */
  readonly #cache = new Map<string, CachedFile>();
  #cacheBytes = 0;

  /** The maps of those files; URLs that name no file are passed over. Never rejects. */
  async load(urls: Iterable<string>): Promise<OriginalPositions> {
    return run(this.#load(urls, { bytes: Infinity }));
  }

  /** The same at once, for the end of the process: reads no more than `MAX_SYNC_BYTES`. */
  loadSync(urls: Iterable<string>): OriginalPositions {
    return runSync(this.#load(urls, { bytes: MAX_SYNC_BYTES }));
  }

  *#load(urls: Iterable<string>, left: ReadLimit): FileSteps<OriginalPositions> {
    const files = new Map<string, MappedFile>();
    let bytes = 0;
    for (const url of new Set(urls)) {
      const file = pathOf(url);
      if (file === undefined) continue;
      const mapped = yield* this.#mappedFile(file, left);
      if (mapped !== undefined) {
        bytes += mapped.bytes;
        if (bytes <= MAX_CACHE_BYTES) files.set(url, mapped);
      }
      if (bytes > MAX_CACHE_BYTES || left.bytes < 0) {
        warnOnce('source-maps-full', 'too many source maps at once: the last ones are not used');
        break;
      }
    }
    return new LoadedMaps(files);
  }

  *#mappedFile(file: string, left: ReadLimit): FileSteps<MappedFile | undefined> {
    try {
      const { mtimeMs, size } = yield* fileStatus(file);
      const known = this.#cache.get(file);
      if (known !== undefined) this.#forget(file, known);
      if (known?.mtimeMs === mtimeMs && known.size === size) {
        this.#keep(file, known);
        return known.mapped;
      }
      const mapped = yield* readMappedFile(file, size, left);
      if (left.bytes >= 0) this.#keep(file, { mtimeMs, size, mapped });
      return mapped;
    } catch {
      return undefined; // not there (any more), or not ours to read
    }
  }

  #keep(file: string, entry: CachedFile): void {
    this.#cache.set(file, entry);
    this.#cacheBytes += entry.mapped?.bytes ?? 0;
    for (const [oldest, old] of this.#cache) {
      if (this.#cacheBytes <= MAX_CACHE_BYTES && this.#cache.size <= MAX_CACHE_FILES) break;
      this.#forget(oldest, old);
    }
  }

  #forget(file: string, entry: CachedFile): void {
    if (this.#cache.delete(file)) this.#cacheBytes -= entry.mapped?.bytes ?? 0;
  }
}

function pathOf(url: string): string | undefined {
  if (path.isAbsolute(url)) return url;
  if (!url.startsWith('file:')) return undefined;
  try {
    return fileURLToPath(url);
  } catch {
    return undefined;
  }
}

/** Undefined where the file has no usable map, or there is nothing left to be read. */
function* readMappedFile(
  file: string,
  size: number,
  left: ReadLimit,
): FileSteps<MappedFile | undefined> {
  if (size > MAX_FILE_BYTES || !take(left, size)) return undefined;
  const text = yield* fileText(file);
  // With its library: not loaded before the first map is wanted.
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  const { parseSourceMap, sourceMapUrl } = require('./mapped-file.js') as typeof MappedFiles;
  const reference = sourceMapUrl(text);
  if (reference === undefined) return undefined;
  try {
    const map = yield* readMap(reference, file, left);
    return map === undefined ? undefined : parseSourceMap(map.json, map.url, text);
  } catch (error) {
    // Many packages name a map that they do not ship.
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      warnOnce('broken-source-map', `the source map of ${file} cannot be used`, error);
    }
    return undefined;
  }
}

/** The map's text, and the URL that its sources are relative to; undefined: nothing left to read. */
function* readMap(
  reference: string,
  file: string,
  left: ReadLimit,
): FileSteps<{ json: string; url: string } | undefined> {
  if (reference.startsWith('data:')) {
    return { json: decodeDataUrl(reference), url: pathToFileURL(file).href };
  }
  const url = new URL(reference, pathToFileURL(file));
  if (url.protocol !== 'file:') throw new Error(`it is not a file: ${url.protocol}`);
  const mapFile = fileURLToPath(url);
  const { size } = yield* fileStatus(mapFile);
  if (size > MAX_FILE_BYTES) throw new Error(`it has more than ${String(MAX_FILE_BYTES)} bytes`);
  if (!take(left, size)) return undefined;
  return { json: yield* fileText(mapFile), url: url.href };
}

/** Counts what is about to be read; false, and less than 0 left, where that is too much. */
function take(left: ReadLimit, size: number): boolean {
  left.bytes -= size;
  return left.bytes >= 0;
}

function decodeDataUrl(url: string): string {
  const comma = url.indexOf(',');
  if (comma < 0) throw new Error('a data URL without data');
  const data = url.slice(comma + 1);
  return url.slice(0, comma).endsWith(';base64')
    ? Buffer.from(data, 'base64').toString('utf8')
    : decodeURIComponent(data);
}
