/** The only loader of the native binary, and the types of what it exports. */
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import path from 'node:path';
import { ProfilerError } from '../util/errors.js';

/** What the label side (active-labels.ts) needs of the addon. */
export interface NativeLabels {
  /**
   * Length 1: the label id that the signal handler records if the label source is `'label-word'`.
   * Backed by memory of the addon that is never freed.
   */
  readonly labelWord: Int32Array;
  /**
   * Length is a power of two. The signal handler stores 1 at `[id & (length - 1)]` when a sample
   * takes label id `id`; JavaScript clears it. The label table uses it to know which label sets
   * pending samples may still refer to.
   */
  readonly sampledLabels: Uint8Array;
  /** Names the AsyncLocalStorage whose store (a small integer) is the label id; null forgets it. */
  setLabelStorage(storage: object | null): void;
  /**
   * The id that the handler would read from the continuation now, through reads that cannot
   * fault; 0 where there is none, or where the memory layout is not the expected one.
   * Also learns the layout: until one call has returned a non-zero id the source
   * `'continuation'` is refused.
   */
  probeContinuationLabel(): number;
  /** Chooses where the handler reads the label id. Default `'label-word'`. False: refused. */
  setLabelSource(source: 'label-word' | 'continuation'): boolean;
  /**
   * Overwrites the id that the handler would read from the continuation now with `id`, for all
   * async contexts that share the context frame. Returns false, and does nothing, if there is none.
   * Undefined where the addon cannot.
   */
  replaceLabel?: (this: void, id: number) => boolean;
}

/** CPU that one thread has used in some time, by function, stack and label id. */
export interface NativeBatch {
  /** '' for the main thread. */
  readonly threadName: string;
  /** Of function `i`: its name at `2 * i` and its URL ('' for none) at `2 * i + 1`. */
  readonly names: readonly string[];
  /** Of function `i`: the 1-based line where it starts, 0 for unknown. */
  readonly startLines: Uint32Array;
  /** Of function `i`: the 1-based column where it starts, 0 for unknown. */
  readonly startColumns: Uint32Array;
  /** Of frame `i`: its function at `2 * i`, and at `2 * i + 1` the 1-based line, 0 for unknown. */
  readonly frames: Uint32Array;
  /**
   * One record after the other: weight (sampling intervals of CPU time), number n of frames, label
   * id (0 for none), and n numbers of frames, leaf first.
   */
  readonly stacks: Uint32Array;
}

/** Counts since `start()`; see ProfilerMetrics for their meaning. */
export type NativeMetrics = Record<
  | 'signals'
  | 'samples'
  | 'droppedSamples'
  | 'truncatedStacks'
  | 'labelledSamples'
  | 'staleSamples'
  | 'unresolvedFrames'
  | 'inlinedFrames'
  | 'layoutFallbacks'
  | 'codeEntries'
  | 'codeBytes'
  | 'handlerNanos'
  | 'drainNanos'
  | 'jitEventNanos',
  number
>;

/** What another thread has sampled, with what its label ids stand for there. */
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
  /** All label ids in what is handed on now. */
  readonly labelIds: Uint32Array;
  /** That, where it was asked for. */
  readonly batches: readonly NativeBatch[];
  /** Whether windows of other threads want it. */
  readonly hasListeners: boolean;
}

/**
 * This thread's part in the profile of the process; see native/threads/profiled_thread.h. A window is one
 * profiler's, a segment of it the time from one collect to the next.
 */
export interface NativeSampler extends NativeLabels {
  /**
   * Begins or ends sampling, as the windows of all threads ask for; `'refused'`: the kernel gives
   * no timer. Where V8's heap cannot be read (ARCHITECTURE, "Whose code it is"), the first
   * beginning blocks while V8 lists all code; V8's code events are then followed until `forget()`,
   * so that the next one does not.
   */
  follow(): 'idle' | 'sampling' | 'refused';
  forget(): void;
  /**
   * Opens a window and samples this thread. Returns its number and the interval in microseconds,
   * that of the first window in the process; or why the kernel refused.
   */
  openWindow(intervalMicros: number, maxFrames: number): Uint32Array | string;
  /** The window needs no more samples: ends sampling where it was the last in the process. */
  beginClose(window: number): void;
  /** Ends the segment under way, to be called after a flush. Returns its number. */
  turn(window: number): number;
  /** Whether all threads have handed in what they had sampled in the segment. */
  isComplete(window: number, segment: number): boolean;
  /** Has those that have not hand it in without labels, as soon as they run JavaScript. */
  force(window: number, segment: number): void;
  /** What other threads have handed in for an ended segment; 0: so far, for the one under way. */
  take(window: number, segment: number): NativeTaken;
  /** Begins to hand on what was sampled; `endFlush` must follow. With `read`, returns it too. */
  beginFlush(read: boolean): NativeFlush;
  /** Gives it to other threads, with label sets as in NativeForeignBatch, and forgets it. */
  endFlush(labelSets?: Uint32Array, labelTexts?: readonly string[]): void;
  metrics(): NativeMetrics;
}

interface NativeModule {
  /** The `NODE_MODULE_VERSION` of the headers that the binary was compiled with. */
  readonly abi: number;
  /** Whether the running V8 is built as those headers say: pointers compressed or not, and so on. */
  readonly sameBuild: boolean;
  /**
   * The sampler of this thread; undefined when too many threads have one. `wake` is called from
   * the event loop when it is time to follow, to flush, and to look after one's windows. `clone`
   * is called in `beginFlush()` with modules of WebAssembly, for V8 tells what their functions are
   * called when they are cloned.
   */
  open(
    threadName: string,
    wake: () => void,
    clone: (module: object) => object,
  ): NativeSampler | undefined;
}

/** Node.js's own, whatever the application puts in its place later. */
const { structuredClone: cloneModule } = globalThis;
/** Unless the code was bundled into a file of somebody else's. */
const PACKAGE_ROOT = path.resolve(__dirname, '../..');
const SUPPORTED_PLATFORM = 'linux';
const SUPPORTED_ARCHITECTURES = ['x64', 'arm64'];

/**
 * Loads the binary and opens this thread's sampler; to be called once per thread.
 * Throws a ProfilerError: ERR_UNSUPPORTED_PLATFORM, or ERR_NATIVE_MISSING.
 */
export function openNativeSampler(threadName: string, wake: () => void): NativeSampler {
  const { platform, arch } = process;
  if (platform !== SUPPORTED_PLATFORM || !SUPPORTED_ARCHITECTURES.includes(arch)) {
    throw new ProfilerError(
      'ERR_UNSUPPORTED_PLATFORM',
      `the CPU profiler does not support ${platform}-${arch} yet, only Linux on x64 and arm64; ` +
        'labels and spans work without it',
    );
  }
  const sampler = loadModule().open(threadName, wake, cloneModule);
  if (sampler === undefined) {
    throw new ProfilerError('ERR_TIMER_REFUSED', 'too many threads of this process have a sampler');
  }
  return sampler;
}

function loadModule(): NativeModule {
  const abi = process.versions.modules;
  const problems: string[] = [];
  let cause: unknown;
  for (const file of candidates(abi)) {
    if (!existsSync(file)) {
      problems.push(`${file} does not exist`);
      continue;
    }
    try {
      // eslint-disable-next-line @typescript-eslint/no-require-imports
      const candidate = require(file) as NativeModule;
      // Node-API modules carry no version check of their own: a binary for another V8 loads, and
      // would then read this one's memory by the wrong layout.
      if (String(candidate.abi) !== abi) {
        problems.push(`${file} is for ABI ${String(candidate.abi)}`);
      } else if (!candidate.sameBuild) {
        problems.push(
          `${file} was compiled for another build of V8 (pointer compression, direct handles)`,
        );
      } else {
        return candidate;
      }
    } catch (error) {
      cause = error;
      problems.push(`${file} cannot be loaded (${String(error)})`);
    }
  }
  throw new ProfilerError(
    'ERR_NATIVE_MISSING',
    `no native binary for Node ${process.versions.node} (ABI ${abi}, ${libc()}): ` +
      `${problems.join('; ')}. Labels and spans work without it. ${remedy()}`,
    cause === undefined ? undefined : { cause },
  );
}

function remedy(): string {
  if (existsSync(path.join(PACKAGE_ROOT, 'binding.gyp'))) {
    return 'To build it, or to see why it cannot be: npm rebuild otelpyroscope --foreground-scripts';
  }
  return (
    `otelpyroscope has been bundled into ${__filename}, where its binary is not: ` +
    'keep it external (esbuild: --external:otelpyroscope; webpack: ' +
    "externals: { otelpyroscope: 'commonjs otelpyroscope' }) and install it beside the bundle"
  );
}

/** Where the binary may be: as the package ships or installs it, then as a plain node-gyp build leaves it. */
function candidates(abi: string): string[] {
  const folder = `${process.platform}-${process.arch}`;
  return [
    path.join(PACKAGE_ROOT, 'prebuilds', folder, `otelpyroscope.abi${abi}.${libc()}.node`),
    path.join(PACKAGE_ROOT, 'build', 'Release', 'otelpyroscope.node'),
  ];
}

/** By the loader that the executable asks for; `process.report` says it as well, but takes 6 ms. */
function libc(): 'glibc' | 'musl' {
  const head = Buffer.alloc(4_096);
  try {
    const file = openSync(process.execPath, 'r');
    try {
      readSync(file, head);
    } finally {
      closeSync(file);
    }
  } catch {
    // Then the usual one.
  }
  return head.includes('/ld-musl-') ? 'musl' : 'glibc';
}
