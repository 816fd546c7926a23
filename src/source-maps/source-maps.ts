/** Finds the original positions of compiled code by its source maps. */
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { startDeadline } from '../util/clock.js';
import { warnOnce } from '../util/diagnostics.js';
import { fileStatus, run, runSync, type FileSteps } from './file-steps.js';
import type * as MapFiles from './map-files.js';
import type { ReadLimit } from './map-files.js';
import type { SourceMapText } from '../addon/loader.js';
import type { MappedFile } from './mapped-file.js';
import type { OriginalPositions, SourceFunction } from '../pprof/original-positions.js';
import { atOnce, inSlices } from '../util/time-slices.js';

/** Memory for maps, roughly, in bytes. The longest unused are dropped; one collect uses no more. */
const MAX_CACHE_BYTES = 128 * 1024 * 1024;
/**
 * Bytes of compiled files and maps that one collect without the event loop reads: it delays the end
 * of the process, by about a second at most. Further files are not used.
 */
export const MAX_SYNC_BYTES = 32 * 1024 * 1024;
/** Files in the cache, including those without a map. The longest unused are dropped. */
const MAX_CACHE_FILES = 2_000;
/** Longest wait of one collect for its maps, in milliseconds. It continues without those that are late. */
export const MAX_LOAD_MS = 3_000;
/** URLs that are checked in one step. */
const STEP_URLS = 64;

interface CachedFile {
  /** Time and size of the compiled file; if they differ, the file is read again. */
  readonly mtimeMs: number;
  readonly size: number;
  /** Undefined if the file has no usable map. */
  readonly mapped: MappedFile | undefined;
}

/** The maps that one collect reads. */
class Load {
  /** Paths by URL of the files that are not read yet. */
  readonly waiting = new Map<string, string>();
  readonly mapped = new Map<string, MappedFile>();
  /** Numbers of maps that came with scripts and are not read yet. */
  readonly waitingTexts = new Set<number>();
  readonly mappedTexts = new Map<number, MappedFile>();
  readonly limit: ReadLimit;

  constructor(maxBytes: number) {
    this.limit = { bytes: maxBytes };
  }

  /** The number of maps that are not read yet. */
  get left(): number {
    return this.waiting.size + this.waitingTexts.size;
  }

  /** Adds URLs and numbers in steps: there are as many as functions. */
  *add(urls: Iterable<string>, texts: Iterable<number>): Generator<void, void> {
    let count = 0;
    for (const number of texts) {
      this.waitingTexts.add(number);
      if (++count % STEP_URLS === 0) yield;
    }
    for (const url of urls) {
      if (!this.waiting.has(url)) {
        const file = pathOf(url);
        if (file !== undefined) this.waiting.set(url, file);
      }
      if (++count % STEP_URLS === 0) yield;
    }
  }
}

/** The maps for one collect. */
class LoadedMaps implements OriginalPositions {
  readonly #files: ReadonlyMap<string, MappedFile>;
  readonly #texts: ReadonlyMap<number, MappedFile>;

  /** Copies the maps loaded so far; those loaded later are not used. */
  constructor({ mapped, mappedTexts }: Load) {
    this.#files = new Map(mapped);
    this.#texts = new Map(mappedTexts);
  }

  functionAt(compiled: SourceFunction): SourceFunction {
    const original = this.#mapOf(compiled)?.functionAt(compiled);
    if (original !== undefined || !compiled.sourceMap) return original ?? compiled;
    // A line of the compiled text would be a wrong one: loaders give that the original file's name.
    return { ...compiled, line: 0, column: 0 };
  }

  lineAt(compiled: SourceFunction, line: number, column: number): number | undefined {
    const original = this.#mapOf(compiled)?.lineAt(compiled, line, column);
    return original ?? (compiled.sourceMap ? 0 : undefined);
  }

  #mapOf({ url, sourceMap }: SourceFunction): MappedFile | undefined {
    const file = this.#files.get(url);
    if (!sourceMap) return file;
    const text = this.#texts.get(sourceMap);
    // The file that was loaded as it is has the same map, and names too.
    return text?.inlineBytes === file?.inlineBytes ? file : text;
  }
}

/**
 * Reads maps when a profile is collected, never while sampling. If a map is broken, missing, too
 * large or late, the compiled position stays.
 */
export class SourceMaps {
  /** Number of files whose map was not used: broken, over a limit or late. */
  skipped = 0;
  readonly #maxLoadMs: number;
  /** Files by path, and maps of scripts by "text" and their number; the longest unused first. */
  readonly #cache = new Map<string, CachedFile>();
  #cacheBytes = 0;
  /** The last load. They run one after another, so that a blocked one holds one thread of the pool. */
  #loading: Promise<void> = Promise.resolve();
  /** Running loads that their collect no longer waits for. */
  #lateLoads = 0;

  readonly #textOf: (number: number) => SourceMapText | undefined;

  /** `textOf` returns the map that came with a script, by its number. */
  constructor(
    maxLoadMs = MAX_LOAD_MS,
    textOf: (number: number) => SourceMapText | undefined = () => undefined,
  ) {
    this.#maxLoadMs = maxLoadMs;
    this.#textOf = textOf;
  }

  /**
   * Loads the maps of files, and those with a number; ignores URLs that name no file. Resolves after
   * `maxLoadMs` at the latest, with the maps read by then, and at once while an earlier load is late.
   * Never rejects.
   */
  async load(urls: Iterable<string>, texts: Iterable<number> = []): Promise<OriginalPositions> {
    const load = new Load(Infinity);
    await inSlices(load.add(urls, texts));
    if (this.#lateLoads === 0) {
      const loading = this.#loading.then(() => run(this.#load(load)));
      this.#loading = loading;
      if (await isWithin(loading, this.#maxLoadMs)) return new LoadedMaps(load);
      this.#lateLoads++;
      void loading.then(() => {
        this.#lateLoads--;
      });
    }
    this.skipped += load.left;
    warnOnce('source-maps-late', 'source maps are not read in time: compiled names and lines stay');
    return new LoadedMaps(load);
  }

  /** Loads maps synchronously at the end of the process: reads no more than `MAX_SYNC_BYTES`. */
  loadSync(urls: Iterable<string>, texts: Iterable<number> = []): OriginalPositions {
    const load = new Load(MAX_SYNC_BYTES);
    atOnce(load.add(urls, texts));
    runSync(this.#load(load));
    return new LoadedMaps(load);
  }

  *#load(load: Load): FileSteps<void> {
    const { waiting, mapped, waitingTexts, mappedTexts, limit } = load;
    let bytes = 0;
    for (const number of waitingTexts) {
      const found = yield* this.#mappedText(number, limit);
      bytes += found?.bytes ?? 0;
      if (bytes > MAX_CACHE_BYTES || limit.bytes < 0) return this.#stopAt(load);
      if (found !== undefined) mappedTexts.set(number, found);
      waitingTexts.delete(number);
    }
    for (const [url, file] of waiting) {
      const found = yield* this.#mappedFile(file, limit);
      if (found !== undefined) {
        bytes += found.bytes;
        if (bytes <= MAX_CACHE_BYTES) mapped.set(url, found);
      }
      if (bytes > MAX_CACHE_BYTES || limit.bytes < 0) return this.#stopAt(load);
      waiting.delete(url);
    }
  }

  #stopAt(load: Load): void {
    this.skipped += load.left;
    warnOnce('source-maps-full', 'too many source maps at once: the last ones are not used');
  }

  *#mappedText(number: number, limit: ReadLimit): FileSteps<MappedFile | undefined> {
    const key = `text ${String(number)}`;
    const known = this.#cache.get(key);
    if (known !== undefined) {
      this.#forget(key, known);
      this.#keep(key, known);
      return known.mapped;
    }
    const text = this.#textOf(number);
    limit.bytes -= text?.data.length ?? 0;
    if (limit.bytes < 0) return undefined;
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    const { readMapText } = require('./map-files.js') as typeof MapFiles;
    const mapped = text === undefined ? undefined : yield* readMapText(text);
    if (mapped === undefined) this.skipped++;
    this.#keep(key, { mtimeMs: 0, size: 0, mapped });
    return mapped;
  }

  *#mappedFile(file: string, limit: ReadLimit): FileSteps<MappedFile | undefined> {
    try {
      const { mtimeMs, size } = yield* fileStatus(file);
      const known = this.#cache.get(file);
      if (known !== undefined) this.#forget(file, known);
      if (known?.mtimeMs === mtimeMs && known.size === size) {
        this.#keep(file, known);
        return known.mapped;
      }
      // The module is loaded when the first file is read.
      // eslint-disable-next-line @typescript-eslint/no-require-imports
      const { readMappedFile } = require('./map-files.js') as typeof MapFiles;
      const { status, mapped, isSkipped } = yield* readMappedFile(file, limit);
      if (isSkipped) this.skipped++;
      if (limit.bytes >= 0) this.#keep(file, { ...status, mapped });
      return mapped;
    } catch {
      return undefined; // does not exist (any more), or is not readable
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

/** Resolves to whether the work, which never rejects, is done within `ms`. */
async function isWithin(work: Promise<void>, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const stopDeadline = startDeadline(
      () => {
        resolve(false);
      },
      ms,
      { keepsAlive: true },
    );
    void work.then(() => {
      stopDeadline();
      resolve(true);
    });
  });
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
