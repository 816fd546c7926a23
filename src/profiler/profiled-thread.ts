/** Connects this thread to the profile of the process: joins sessions and delivers samples. */
import * as workerThreads from 'node:worker_threads';
import { activeLabels } from '../labels/active-labels.js';
import { startTimer, stopTimer, type Timer } from '../util/clock.js';
import { cacheHome } from '../options/options.js';
import { warnOnce } from '../util/diagnostics.js';
import { OTHER_THREADS } from '../util/pseudo-frames.js';
import { labelsOfSet, type LabelSet } from '../labels/label-set.js';
import { cutValue } from '../labels/label-values.js';
import type { Labels } from '../util/labels.js';
import { openNativeThread, type NativeForeignBatch, type NativeThread } from '../addon/loader.js';
import type { LabelsById, SampleBatch } from '../pprof/sample-batch.js';

/**
 * How long a stopped sampler keeps listening to V8's code events, in milliseconds. Scrapes start
 * and stop one every 15 s: without this, each would block while V8 lists all code, and would not
 * name loops that V8 has replaced on the stack, which it never lists.
 */
const FORGET_AFTER_MS = 60_000;
/**
 * Different label sets of other threads that a window keeps to find equal ones; with more, only the
 * profile is larger.
 */
const MAX_FOREIGN_LABELS = 65_536;

const THREAD_NAME = 'thread_name';
const NO_LABELS: Labels = Object.freeze({});

/** The windows of this thread's own profilers. */
export interface OwnWindows {
  /** Whether any is open. */
  readonly anyOpen: boolean;
  /** Adds samples of this thread to all of them. */
  add(batch: SampleBatch): void;
  /** Called in the event loop when other threads may have delivered samples. */
  onDelivered(): void;
}

/** The JavaScript half of native/threads/profiled_thread.h. */
export class ProfiledThread {
  readonly native: NativeThread;
  readonly #own: OwnWindows;
  readonly #threadName = nameOfThread();
  readonly #named = new WeakMap<Labels, Labels>();
  readonly #onExit = (): void => this.flush();
  #sampling = false;
  #busy = 0;
  #forgetTimer: Timer | undefined;

  /** Throws a ProfilerError if there is no sampler. */
  constructor(own: OwnWindows) {
    this.#own = own;
    this.native = openNativeThread(this.#threadName, () => this.#onWake(), cacheHome());
    activeLabels.connectEarly(this.native);
    this.joinOrLeaveSession();
  }

  /** Starts to sample this thread if a session has begun, stops if it has ended. */
  joinOrLeaveSession(): void {
    const state = this.native.joinOrLeaveSession();
    if (state === 'refused') {
      warnOnce('thread-refused', 'the system refuses a CPU timer for this thread');
    }
    if (state === 'sampling') this.connect();
    else this.#disconnect();
  }

  /** Lets the sampler read labels. Call this when the thread samples, or is about to. */
  connect(): void {
    if (this.#sampling) return;
    this.#sampling = true;
    stopTimer(this.#forgetTimer);
    activeLabels.connect(this.native);
    // A worker that ends by itself: its last labels. The main thread ends with the process.
    if (this.#threadName !== '') process.on('exit', this.#onExit);
  }

  /** Whether it is in the middle of a change, where an interrupt must not read its samples. */
  get isBusy(): boolean {
    return this.#busy > 0;
  }

  /** Calls `change`, and is busy meanwhile. */
  whileBusy<Result>(change: () => Result): Result {
    this.#busy++;
    try {
      return change();
    } finally {
      this.#busy--;
    }
  }

  /** Flushes: delivers this thread's samples to its own windows and to those of other threads. */
  flush(): void {
    this.whileBusy(() => {
      this.#flush();
    });
  }

  #flush(): void {
    activeLabels.beginCollect();
    const { labelIds, batches, hasListeners } = this.native.beginFlush(this.#own.anyOpen);
    const sets = new Map<number, LabelSet>();
    try {
      for (const id of labelIds) {
        const set = activeLabels.setOf(id);
        if (set !== undefined) sets.set(id, set);
      }
      activeLabels.endCollect();
      const labels = this.#labelsBehind(sets);
      for (const batch of batches) this.#own.add({ ...batch, labels });
    } finally {
      if (hasListeners) this.native.endFlush(...encodeLabels(sets));
      else this.native.endFlush();
    }
  }

  #disconnect(): void {
    if (!this.#sampling) return;
    this.#sampling = false;
    activeLabels.disconnect();
    process.off('exit', this.#onExit);
    this.#forgetTimer = startTimer(() => this.native.forget(), FORGET_AFTER_MS);
    this.#forgetTimer.unref();
  }

  #onWake(): void {
    try {
      this.whileBusy(() => {
        this.joinOrLeaveSession();
        this.flush();
        this.#own.onDelivered();
      });
    } catch (error) {
      warnOnce('profiled-thread', 'samples of this thread may be lost', error);
    }
  }

  /** Makes labels only when the samples are merged, in slices; adds the name of a worker. */
  #labelsBehind(sets: ReadonlyMap<number, LabelSet>): LabelsById {
    const isNamed = this.#threadName !== '';
    return {
      get: (id) => {
        const set = sets.get(id);
        const labels = set === undefined ? undefined : labelsOfSet(set);
        return isNamed ? this.#name(labels ?? NO_LABELS) : labels;
      },
    };
  }

  #name(labels: Labels): Labels {
    let named = this.#named.get(labels);
    if (named === undefined) {
      named = { ...labels, [THREAD_NAME]: this.#threadName };
      this.#named.set(labels, named);
    }
    return named;
  }
}

/** Makes one object of equal label sets, which other threads deliver repeatedly. */
export class ForeignLabels {
  readonly #known = new Map<string, Labels>();

  /** Returns the batch with its labels in the form that this thread's batches have. */
  resolve(batch: NativeForeignBatch): SampleBatch {
    const { labelSets, labelTexts, threadName } = batch;
    const labels = new Map<number, Labels>();
    const named = threadName === '' ? [] : [THREAD_NAME, threadName];
    const unlabelled = named.length === 0 ? undefined : this.#intern(named);
    let at = 0;
    for (let i = 0; i < labelSets.length; i += 2) {
      const end = at + (labelSets[i + 1] as number);
      labels.set(labelSets[i] as number, this.#intern([...labelTexts.slice(at, end), ...named]));
      at = end;
    }
    if (unlabelled !== undefined) {
      const { stacks } = batch;
      for (let i = 0; i < stacks.length; i += 3 + (stacks[i + 1] as number)) {
        const id = stacks[i + 2] as number;
        if (!labels.has(id)) labels.set(id, unlabelled);
      }
    }
    return { ...batch, labels };
  }

  #intern(texts: readonly string[]): Labels {
    const key = JSON.stringify(texts);
    let labels = this.#known.get(key);
    if (labels === undefined) {
      const made: Record<string, string> = Object.create(null) as Record<string, string>;
      for (let i = 0; i < texts.length; i += 2) made[texts[i] as string] = texts[i + 1] as string;
      labels = made;
      if (this.#known.size < MAX_FOREIGN_LABELS) this.#known.set(key, labels);
    }
    return labels;
  }
}

/** Returns a batch of the CPU of threads that are not sampled: the pool's, V8's, addons'. */
export function othersBatch(intervals: number): SampleBatch {
  return {
    names: [OTHER_THREADS, ''],
    startLines: Uint32Array.of(0),
    startColumns: Uint32Array.of(0),
    frames: Uint32Array.of(0, 0),
    stacks: Uint32Array.of(intervals, 1, 0, 0),
    labels: new Map(),
  };
}

function encodeLabels(labelSets: ReadonlyMap<number, LabelSet>): [Uint32Array, string[]] {
  const sets: number[] = [];
  const texts: string[] = [];
  for (const [id, set] of labelSets) {
    const entries = Object.entries(labelsOfSet(set)).flat();
    sets.push(id, entries.length);
    texts.push(...entries);
  }
  return [Uint32Array.from(sets), texts];
}

/** Returns '' for the main thread, and a worker's own name if this Node.js exposes one. */
function nameOfThread(): string {
  const { isMainThread, threadId } = workerThreads;
  if (isMainThread) return '';
  // Since Node 22.20 and 24.6; the latter's name for those without one is 'WorkerThread'.
  const { threadName } = workerThreads as { threadName?: string };
  const named = threadName !== undefined && threadName !== '' && threadName !== 'WorkerThread';
  return named ? cutValue(threadName) : `worker-${String(threadId)}`;
}
