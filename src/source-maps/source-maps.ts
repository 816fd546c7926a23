/** Finds the original positions of compiled code by its source maps. */
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { startDeadline } from '../util/clock.js';
import { warnOnce } from '../util/diagnostics.js';
import { fileStatus, run, runSync, type FileSteps } from './file-steps.js';
import type * as MapFiles from './map-files.js';
import type { ReadLimit } from './map-files.js';
import type { MappedFile } from './mapped-file.js';
import type { OriginalPositions, SourceFunction } from '../pprof/profile-builder.js';
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
  readonly limit: ReadLimit;

  constructor(maxBytes: number) {
    this.limit = { bytes: maxBytes };
  }

  /** Adds URLs in steps: there are as many as functions. */
  *add(urls: Iterable<string>): Generator<void, void> {
    let count = 0;
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

  /** Copies the maps loaded so far; those loaded later are not used. */
  constructor({ mapped }: Load) {
    this.#files = new Map(mapped);
  }

  functionAt(compiled: SourceFunction): SourceFunction {
    return this.#files.get(compiled.url)?.functionAt(compiled) ?? compiled;
  }

  lineAt(compiled: SourceFunction, line: number, column: number): number | undefined {
    return this.#files.get(compiled.url)?.lineAt(compiled, line, column);
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
  /** Files by path, the longest unused first. */
  readonly #cache = new Map<string, CachedFile>();
  #cacheBytes = 0;
  /** The last load. They run one after another, so that a blocked one holds one thread of the pool. */
  #loading: Promise<void> = Promise.resolve();
  /** Running loads that their collect no longer waits for. */
  #lateLoads = 0;

  constructor(maxLoadMs = MAX_LOAD_MS) {
    this.#maxLoadMs = maxLoadMs;
  }

  /**
   * Loads the maps of files; ignores URLs that name no file. Resolves after `maxLoadMs` at the
   * latest, with the maps read by then, and at once while an earlier load is late. Never rejects.
   */
  async load(urls: Iterable<string>): Promise<OriginalPositions> {
    const load = new Load(Infinity);
    await inSlices(load.add(urls));
    if (this.#lateLoads === 0) {
      const loading = this.#loading.then(() => run(this.#load(load)));
      this.#loading = loading;
      if (await isWithin(loading, this.#maxLoadMs)) return new LoadedMaps(load);
      this.#lateLoads++;
      void loading.then(() => {
        this.#lateLoads--;
      });
    }
    this.skipped += load.waiting.size;
    warnOnce('source-maps-late', 'source maps are not read in time: compiled names and lines stay');
    return new LoadedMaps(load);
  }

  /** Loads maps synchronously at the end of the process: reads no more than `MAX_SYNC_BYTES`. */
  loadSync(urls: Iterable<string>): OriginalPositions {
    const load = new Load(MAX_SYNC_BYTES);
    atOnce(load.add(urls));
    runSync(this.#load(load));
    return new LoadedMaps(load);
  }

  *#load({ waiting, mapped, limit }: Load): FileSteps<void> {
    let bytes = 0;
    for (const [url, file] of waiting) {
      const found = yield* this.#mappedFile(file, limit);
      if (found !== undefined) {
        bytes += found.bytes;
        if (bytes <= MAX_CACHE_BYTES) mapped.set(url, found);
      }
      if (bytes > MAX_CACHE_BYTES || limit.bytes < 0) {
        this.skipped += waiting.size;
        warnOnce('source-maps-full', 'too many source maps at once: the last ones are not used');
        return;
      }
      waiting.delete(url);
    }
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
