/** The only loader of the native binary, and the types of what it exports. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import { ProfilerError } from '../util/errors.js';
import type { ClockState, SampleClock } from '../util/sample-clock.js';
import { cacheFolder, versionFolder, writableByOthers } from './binary-cache.js';
import { dynamicLinkerOf } from './dynamic-linker.js';

/** The part of the addon that the labels (active-labels.ts) use. */
export interface NativeLabels {
  /**
   * Length 1: the label id that the signal handler records if the label source is `'label-word'`.
   * Backed by memory of the addon that is never freed.
   */
  readonly labelWord: Int32Array;
  /**
   * Length 1, as the label word: the label id that the running code does not have although its
   * context carries it. An older binary has none.
   */
  readonly endedLabel?: Int32Array;
  /**
   * Length is a power of two. The signal handler stores 1 at `[id & (length - 1)]` when a sample
   * takes label id `id`; JavaScript clears it. The label table uses it to know which label sets
   * pending samples may still refer to.
   */
  readonly sampledLabels: Uint8Array;
  /**
   * Returns an array of the same length, to be asked for once. The signal handler adds the CPU time
   * of each sample, in nanoseconds, at `[id & (length - 1)]`; JavaScript reads it and sets it to 0.
   */
  readonly labelCpuNanos: (this: void) => Float64Array;
  /**
   * Names the label table (`LabelTableParts` in label-table.ts), from which the addon reads the
   * labels of a thread that ends without running JavaScript again: a worker that is terminated.
   */
  setLabelTable(table: object): void;
  /**
   * Names the key of the label id, a small integer, among the stores of an async context; null forgets
   * it. In context frames it is the AsyncLocalStorage, in async resources a symbol.
   */
  setLabelStorage(key: object | symbol | null): void;
  /**
   * Returns the id that the handler would read from the stores now, by reads that cannot fault; 0 if
   * there is none, or if the memory layout is not the expected one.
   * Also learns the layout of context frames: until one call has returned a non-zero id, or the
   * addon has learned async resources, the sources of stores are refused.
   */
  probeLabel(): number;
  /** Chooses where the handler reads the label id. Default `'label-word'`. False: refused. */
  setLabelSource(source: 'label-word' | 'continuation' | 'async-resource'): boolean;
  /**
   * Finds the AsyncLocalStorage whose store in the context frame is `context`. From then on, where the
   * storage of `setLabelStorage` has no id, the handler reads the one that its store has as its
   * property `id`. False: none found.
   */
  findContexts?(context: object, id: symbol): boolean;
  /** The same, in async resources, where the store's key is a symbol. */
  setContextKeys?(storage: symbol, id: symbol): boolean;
  /** Forgets the keys of both. */
  forgetContexts?(): void;
  /** Whether the handler can read the id that `context` carries. */
  canReadContext?: (this: void, context: object) => boolean;
  /**
   * Learns how to find the running async resource. `resource` is that, entered by `runInAsyncScope`;
   * `publicKey` is the key under which a resource has another one that stands for it. False: not found.
   */
  learnResources?(resource: object, publicKey: symbol): boolean;
  /** Learns the resource of code outside of all callbacks; nothing, if a callback is running. */
  learnOutermostResource?(resource: object): void;
}

/** CPU that one thread has used in a time, by function, stack and label id. */
export interface NativeBatch {
  /** '' for the main thread. */
  readonly threadName: string;
  /** The name of function `i` is at `2 * i`, its URL ('' for none) at `2 * i + 1`. */
  readonly names: readonly string[];
  /** The 1-based line where function `i` starts is at `i`; 0 for unknown. */
  readonly startLines: Uint32Array;
  /** The 1-based column where function `i` starts is at `i`; 0 for unknown. */
  readonly startColumns: Uint32Array;
  /** The number of the source map of function `i`'s script is at `i`; see `sourceMapText`. */
  readonly sourceMaps: Uint32Array;
  /** The function of frame `i` is at `2 * i`, its 1-based line (0 for unknown) at `2 * i + 1`. */
  readonly frames: Uint32Array;
  /** The 1-based column of frame `i` is at `i`; 0 for unknown. */
  readonly frameColumns: Uint32Array;
  /**
   * One record after the other: weight (sampling intervals of CPU time), number n of frames, label
   * id (0 for none), and n numbers of frames, leaf first.
   */
  readonly stacks: Uint32Array;
}

/** A source map in the text of a script. */
export interface SourceMapText {
  /** The script's name. */
  readonly url: string;
  /** A data URL. */
  readonly data: Buffer;
}

/** Counts since `start()`; see ProfilerMetrics for their meaning. */
export type NativeMetrics = ClockState &
  Record<
    | 'signals'
    | 'samples'
    | 'droppedSamples'
    | 'truncatedStacks'
    | 'labelledSamples'
    | 'staleSamples'
    | 'unresolvedFrames'
    | 'inlinedFrames'
    | 'unknownInlined'
    | 'layoutFallbacks'
    | 'codeEntries'
    | 'codeBytes'
    | 'handlerNanos'
    | 'drainNanos'
    | 'jitEventNanos',
    number
  >;

/** Samples of another thread, with the labels of its label ids. */
export interface NativeForeignBatch extends NativeBatch {
  /** Pairs of label id and number of texts. */
  readonly labelSets: Uint32Array;
  /** Name, value, name, value … of all sets. */
  readonly labelTexts: readonly string[];
}

export interface NativeTaken {
  readonly batches: readonly NativeForeignBatch[];
  /** Intervals of CPU that no profiled thread has used. */
  readonly others: number;
}

export interface NativeFlush {
  /** All label ids in the samples that are flushed. */
  readonly labelIds: Uint32Array;
  /** The samples; empty unless they were asked for. */
  readonly batches: readonly NativeBatch[];
  /** Whether windows of other threads need the samples, and so the labels. */
  readonly hasListeners: boolean;
}

/** The native half of a profiled thread; see native/threads/profiled_thread.h. */
export interface NativeThread extends NativeLabels {
  /**
   * Starts to sample if a session has begun, stops if it has ended; `'refused'`: the kernel gives
   * no timer. Where V8's heap cannot be read (ARCHITECTURE, "Whose code it is"), the first start
   * blocks while V8 lists all code; V8's code events are then listened to until `forget()`, so that
   * the next start does not.
   */
  joinOrLeaveSession(): 'idle' | 'sampling' | 'refused';
  /** Stops sampling, and forgets the code. */
  forget(): void;
  /**
   * Opens a window and samples this thread. Returns its number and the session's interval in
   * microseconds, which the first window of the process has set; or why the kernel refused.
   * From the first `sourceMaps` on, batches of the process have numbers of source maps, and columns.
   */
  openWindow(
    intervalMicros: number,
    maxFrames: number,
    sourceMaps: boolean,
    clock: SampleClock,
  ): Uint32Array | string;
  /**
   * Returns a source map that came with code compiled in memory, by its number (the same for the
   * same map of the same script in all threads); undefined if it is too long, or forgotten.
   */
  sourceMapText(number: number): SourceMapText | undefined;
  /** Marks the window as needing no more samples; ends the session if it was the last. */
  beginClose(window: number): void;
  /** Ends the current segment and returns its number; begins the next. Call this after a flush. */
  rotate(window: number): number;
  /** Whether all threads have delivered their samples of the ended segment. */
  isComplete(window: number, segment: number): boolean;
  /** Asks the threads that have not to flush without labels, once they run JavaScript. */
  requestFlushWithoutLabels(window: number, segment: number): void;
  /** Takes the samples of other threads: of an ended segment, or so far of the current one (0). */
  take(window: number, segment: number): NativeTaken;
  /** Detaches this thread's samples, and returns them if `read` is true. `endFlush` must follow. */
  beginFlush(read: boolean): NativeFlush;
  /**
   * Delivers the detached samples to the windows of other threads, with label sets as in
   * NativeForeignBatch, and forgets them.
   */
  endFlush(labelSets?: Uint32Array, labelTexts?: readonly string[]): void;
  metrics(): NativeMetrics;
}

/** Lets a process write its profile before a signal ends it; see native/threads/end_watch.h. */
export interface NativeEnd {
  /**
   * Begins to watch for the signals, and for the end of another process (0 for none), after which
   * this one gets SIGTERM. `finish` writes the profile, without the event loop, and returns whether
   * the process may end now; it may be called in the middle of any JavaScript, repeatedly. Returns
   * false if the system refuses. Called once, on the main thread.
   */
  watchEnd(finish: () => boolean, pid: number, startTime: number): boolean;
  /** Tells that `finish` need not be called any more: signals end the process at once. */
  setFinished(): void;
  /**
   * Catches a signal, by its number, unless it is ignored. A listener of the program replaces this;
   * to be called again after the last one was removed.
   */
  catchSignal(signal: number): void;
}

interface NativeModule extends NativeEnd {
  /** The `NODE_MODULE_VERSION` of the headers that the binary was compiled with. */
  readonly abi: number;
  /** Whether the running V8 was built as those headers were: with compressed pointers or not. */
  readonly sameBuild: boolean;
  /**
   * Returns this thread's object, or undefined if too many threads have one. `wake` is called from
   * the event loop when the thread should call `joinOrLeaveSession()`, flush, and check its
   * windows. `clone` is called in `beginFlush()` with WebAssembly modules: V8 reports the names of
   * their functions when they are cloned.
   */
  open(
    threadName: string,
    wake: () => void,
    clone: (module: object) => object,
  ): NativeThread | undefined;
}

/** Node.js's own function, even if the application replaces it later. */
const { structuredClone: cloneModule } = globalThis;
/** The package's folder, unless the code was bundled into another package's file. */
export const PACKAGE_ROOT = path.resolve(__dirname, '../..');
const SUPPORTED_PLATFORM = 'linux';
const SUPPORTED_ARCHITECTURES = ['x64', 'arm64'];
/** Runtimes with modules of Node.js, by their name in `process.versions`: V8 is another, or another build. */
const OTHER_RUNTIMES: Readonly<Record<string, string>> = {
  bun: 'Bun',
  deno: 'Deno',
  electron: 'Electron',
};

/**
 * Loads the binary and returns this thread's object. Call this once per thread.
 * Throws a ProfilerError: ERR_UNSUPPORTED_PLATFORM, ERR_NATIVE_MISSING or ERR_TIMER_REFUSED.
 */
export function openNativeThread(
  threadName: string,
  wake: () => void,
  cacheHome: string | undefined,
): NativeThread {
  const unsupported = unsupportedReason();
  if (unsupported !== undefined) {
    throw new ProfilerError('ERR_UNSUPPORTED_PLATFORM', unsupported);
  }
  const thread = loadModule(cacheHome).open(threadName, wake, cloneModule);
  if (thread === undefined) {
    throw new ProfilerError('ERR_TIMER_REFUSED', 'too many threads of this process have a sampler');
  }
  return thread;
}

/** Returns a sentence if there are no profiles on this runtime or platform, whatever is installed. */
export function unsupportedReason(): string | undefined {
  const { platform, arch, versions } = process;
  for (const [key, name] of Object.entries(OTHER_RUNTIMES)) {
    const version = versions[key];
    if (version === undefined) continue;
    return (
      `the CPU profiler does not support ${name} (this is ${name} ${version}), only Node.js; ` +
      'labels and spans work without it'
    );
  }
  if (platform !== SUPPORTED_PLATFORM || !SUPPORTED_ARCHITECTURES.includes(arch)) {
    return (
      `the CPU profiler does not support ${platform}-${arch} yet, only Linux on x64 and arm64; ` +
      'labels and spans work without it'
    );
  }
  return undefined;
}

/** Returns the functions for the end of the process. Throws a ProfilerError: ERR_NATIVE_MISSING. */
export function openNativeEnd(cacheHome: string | undefined): NativeEnd {
  return loadModule(cacheHome);
}

function loadModule(cacheHome: string | undefined): NativeModule {
  const { module, problems, cause } = findBinary(cacheHome);
  if (module !== undefined) return module;
  const { node, modules: abi } = process.versions;
  throw new ProfilerError(
    'ERR_NATIVE_MISSING',
    `no native binary for Node ${node} (ABI ${abi}, ${libc()}): ` +
      `${problems.join('; ')}. Labels and spans work without it. ${remedy()}`,
    cause === undefined ? undefined : { cause },
  );
}

interface FoundBinary {
  /** The loaded binary and its path; undefined if none can be used. */
  readonly module?: NativeModule;
  readonly file?: string;
  /** Why each of the others cannot be used, and the last error. */
  readonly problems: readonly string[];
  readonly cause?: unknown;
}

/** Loads the first binary that is for this Node.js. `cacheHome` is the user's folder for caches. */
export function findBinary(cacheHome: string | undefined): FoundBinary {
  const problems: string[] = [];
  let cause: unknown;
  for (const candidate of [packagedBinaryPath, existingCachePath, existingOtherPath]) {
    const file = candidate(cacheHome);
    if (file === undefined) continue;
    try {
      const problem = existsSync(file) ? untrusted(file) : `${file} does not exist`;
      const module = problem ?? load(file);
      if (typeof module !== 'string') return { module, file, problems };
      problems.push(module);
    } catch (error) {
      cause = error;
      problems.push(`${file} cannot be loaded (${String(error)})`);
    }
  }
  return { problems, cause };
}

/** Loads a binary; returns a problem if it is for another Node.js. */
function load(file: string): NativeModule | string {
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  const module = require(file) as NativeModule;
  // Node-API modules carry no version check of their own: a binary for another V8 loads, and
  // would then read this one's memory by the wrong layout.
  if (String(module.abi) !== process.versions.modules) {
    return `${file} is for ABI ${String(module.abi)}`;
  }
  if (!module.sameBuild) {
    return `${file} was compiled for another build of V8 (pointer compression, direct handles)`;
  }
  return module;
}

/**
 * Returns a problem if a binary outside of the package could be another user's. Those of the package
 * are as safe as its JavaScript.
 */
function untrusted(file: string): string | undefined {
  if (file.startsWith(PACKAGE_ROOT + path.sep)) return undefined;
  const writable = writableByOthers(file);
  return writable === undefined
    ? undefined
    : `${file} is not used, because other users can write to ${writable}`;
}

function remedy(): string {
  if (existsSync(path.join(PACKAGE_ROOT, 'scripts', 'build-native.mjs'))) {
    return 'To compile it, with the Node.js that runs the program: npx otelpyroscope build';
  }
  return (
    `otelpyroscope has been bundled into ${__filename}, where its binary is not: ` +
    'keep it external (esbuild: --external:otelpyroscope; webpack: ' +
    "externals: { otelpyroscope: 'commonjs otelpyroscope' }) and install it beside the bundle"
  );
}

/** Returns where the binary for this Node.js is in the package. */
function packagedBinaryPath(): string {
  return path.join(PACKAGE_ROOT, 'prebuilds', ...binaryName(libc()));
}

/** Returns the package's binary for the other C library, if it has one: the last that is tried. */
function existingOtherPath(): string | undefined {
  const other = binaryName(libc() === 'musl' ? 'glibc' : 'musl');
  const file = path.join(PACKAGE_ROOT, 'prebuilds', ...other);
  return existsSync(file) ? file : undefined;
}

/** Returns `cachedBinaryPath`, whose sources take milliseconds to read, if there may be a binary. */
function existingCachePath(cacheHome: string | undefined): string | undefined {
  if (cacheHome === undefined || !existsSync(cacheFolder(cacheHome))) return undefined;
  return cachedBinaryPath(cacheHome);
}

/** Returns where `otelpyroscope build` puts it instead; undefined if there is no folder for caches. */
export function cachedBinaryPath(cacheHome: string | undefined): string | undefined {
  if (cacheHome === undefined) return undefined;
  try {
    return path.join(versionFolder(cacheHome, PACKAGE_ROOT), ...binaryName(libc()));
  } catch {
    // A bundle has no sources.
    return undefined;
  }
}

/** Returns folder and file, as node-gyp-build names them. */
function binaryName(libcName: Libc): [string, string] {
  const { platform, arch, versions } = process;
  return [`${platform}-${arch}`, `otelpyroscope.abi${versions.modules}.${libcName}.node`];
}

type Libc = 'glibc' | 'musl';

/** Returns the C library of this Node.js; `process.report` has it as well, but takes 6 ms. */
function libc(): Libc {
  return dynamicLinkerOf(process.execPath).includes('/ld-musl-') ? 'musl' : 'glibc';
}
