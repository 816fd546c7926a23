/** Finds the original places of compiled code, through the source maps beside it. */
import path from 'node:path';
import { clearTimeout, setTimeout } from 'node:timers';
import { fileURLToPath } from 'node:url';
import { warnOnce } from '../util/diagnostics.js';
import { fileStatus, run, runSync, type FileSteps } from './file-steps.js';
import type * as MapFiles from './map-files.js';
import type { ReadLimit } from './map-files.js';
import type { MappedFile } from './mapped-file.js';
import type { OriginalPositions, SourceFunction } from '../pprof/profile-builder.js';
import { atOnce, inSlices } from '../util/time-slices.js';

/** Memory for maps, roughly. The longest unused are forgotten; one collect uses no more than this. */
const MAX_CACHE_BYTES = 128 * 1024 * 1024;
/**
 * Compiled files and maps that one collect without the event loop reads: it holds up the end of the
 * process, by about a second at most. Of more the last ones are not used.
 */
export const MAX_SYNC_BYTES = 32 * 1024 * 1024;
/** Files remembered, those without a map included. The longest unused are forgotten. */
const MAX_CACHE_FILES = 2_000;
/** How long one collect waits for its maps, in milliseconds. It goes on without those that are late. */
export const MAX_LOAD_MS = 3_000;
/** URLs that are looked at in one step. */
const STEP_URLS = 64;

interface CachedFile {
  /** Of the compiled file: another one is read again. */
  readonly mtimeMs: number;
  readonly size: number;
  /** Undefined: the file has no usable map. */
  readonly mapped: MappedFile | undefined;
}

/** The maps that one collect reads. */
class Load {
  /** Files by URL. */
  readonly waiting = new Map<string, string>();
  readonly mapped = new Map<string, MappedFile>();
  readonly limit: ReadLimit;

  constructor(maxBytes: number) {
    this.limit = { bytes: maxBytes };
  }

  /** In steps: there are as many URLs as functions. */
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

/** The files of one collect. */
class LoadedMaps implements OriginalPositions {
  readonly #files: ReadonlyMap<string, MappedFile>;

  /** Of what is loaded so far; what comes later is not seen. */
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
 * Reads maps when a profile is collected, never while sampling. What is broken, missing, too large
 * or not there in time leaves the compiled position.
 */
export class SourceMaps {
  /** Files whose map was left out of a profile: broken, over a limit or late. */
  skipped = 0;
  readonly #maxLoadMs: number;
  /** By path, the longest unused first. */
  readonly #cache = new Map<string, CachedFile>();
  #cacheBytes = 0;
  /** One load at a time: none takes more than one thread of the pool, whatever it waits for there. */
  #loading: Promise<void> = Promise.resolve();
  /** Loads that a collect has given up waiting for, and that go on. */
  #lateLoads = 0;

  constructor(maxLoadMs = MAX_LOAD_MS) {
    this.#maxLoadMs = maxLoadMs;
  }

  /**
   * The maps of those files; URLs that name no file are passed over. Resolves after `maxLoadMs` at
   * the latest, with what is read by then, and at once while an earlier load is late. Never rejects.
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

  /** The same at once, for the end of the process: reads no more than `MAX_SYNC_BYTES`. */
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
      // Not loaded before the first file is read.
      // eslint-disable-next-line @typescript-eslint/no-require-imports
      const { readMappedFile } = require('./map-files.js') as typeof MapFiles;
      const { status, mapped, isSkipped } = yield* readMappedFile(file, limit);
      if (isSkipped) this.skipped++;
      if (limit.bytes >= 0) this.#keep(file, { ...status, mapped });
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

/** Resolves to whether the work, which never rejects, is done before the time is up. */
async function isWithin(work: Promise<void>, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      resolve(false);
    }, ms);
    void work.then(() => {
      clearTimeout(timer);
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
