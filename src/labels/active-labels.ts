/** Which labels are in force: the asynchronous storage of their id, and how the sampler reads it. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { warnOnce } from '../util/diagnostics.js';
import { hooksSeeFlows, LabelWordHook } from './label-word-hook.js';
import { labelsOfSet, type Labels, type LabelSet } from './label-set.js';
import { LabelTable, PROBE_IDS } from './label-table.js';
import type { NativeLabels } from '../addon/loader.js';
import { threadSingleton } from '../util/thread-singleton.js';

/** Where the signal handler finds the id of the running code; `'none'`: nowhere, no sample has labels. */
export type LabelSource = 'continuation' | 'label-word' | 'none';

/**
 * The labels in force, one object per thread.
 *
 * A flow of execution carries a small integer in an AsyncLocalStorage: the id of its label set.
 * The signal handler can read that from the continuation, and a sample keeps just the id.
 * Everything works without a sampler; `connect` and `disconnect` stand around its run.
 */
export class ActiveLabels {
  #storage = new AsyncLocalStorage<number>();
  readonly #table: LabelTable;
  #native: NativeLabels | undefined;
  #source: LabelSource | undefined;
  #hook: LabelWordHook | undefined;
  /** The addon's slot while it has to be written; else undefined. */
  #labelWord: Int32Array | undefined;
  /** Puts an id into the current frame; undefined where the addon cannot. */
  #replaceLabel: ((id: number) => boolean) | undefined;
  /** How often an id was written, in any flow. */
  #writes = 0;

  /** `firstId` is for tests of what happens when ids run out. */
  constructor(firstId?: number) {
    this.#table = new LabelTable(firstId);
  }

  /** Label sets in force somewhere, or that may be again: not ended and not overwritten. */
  get activeLabelSets(): number {
    return this.#table.active;
  }

  /** Label sets lost to the limits of the table since the package was loaded. */
  get droppedLabelSets(): number {
    return this.#table.dropped;
  }

  /** The set in force here. */
  current(): LabelSet | undefined {
    return this.get(this.currentId());
  }

  /** The id that this flow carries, 0 for none; its place in the table may have been taken. */
  currentId(): number {
    return this.#storage.getStore() ?? 0;
  }

  /** The set that has this id now. */
  get(id: number): LabelSet | undefined {
    if (id === 0) return undefined;
    const set = this.#table.get(id);
    if (set === undefined) this.#table.noteLost(id);
    return set;
  }

  /**
   * Puts the set in force for the rest of this flow (undefined: no labels). Returns what `restore`
   * takes.
   */
  enter(set: LabelSet | undefined): number {
    this.#write(set === undefined ? 0 : this.#idOf(set));
    return this.#writes;
  }

  /**
   * Brings back what `currentId` said before an `enter` in the same flow. `writes`: what that
   * returned; where others have come since, what they left may be what is to be brought back.
   */
  restore(before: number, writes?: number): void {
    const id = this.#restorable(before);
    // A look costs half of what a write does: only where there is a chance.
    if (writes !== undefined && writes !== this.#writes && this.currentId() === id) {
      if (this.#labelWord !== undefined) this.#labelWord[0] = id;
    } else {
      this.#write(id);
    }
  }

  /**
   * Whether `replace` costs less than `enter`: with AsyncContextFrame, an `enter` copies the frame,
   * the map of all storages in the running flow.
   */
  get replaces(): boolean {
    return this.#replaceLabel !== undefined;
  }

  /**
   * `enter` where the current frame has just been made and no other flow can have it yet: it is
   * changed in its place, if it has an id already.
   */
  replace(set: LabelSet | undefined): void {
    this.#replace(set === undefined ? 0 : this.#idOf(set));
  }

  /** `restore` behind a `replace`, in a frame that has just been made, or the one from before it. */
  restoreReplaced(before: number): void {
    this.#replace(this.#restorable(before));
  }

  /**
   * Whether `activate` calls its function in a frame of its own, and leaves a frame behind that
   * is new as well or the one from before it.
   */
  probeFrames(activate: (fn: () => void) => void): boolean {
    const [outer, inner] = PROBE_IDS;
    const read = (): number => this.currentId();
    return leavingNoTrace(() => {
      this.#storage.enterWith(outer);
      const runBefore = AsyncLocalStorage.snapshot();
      let runInside: typeof runBefore | undefined;
      activate(() => {
        if (this.#replaceLabel?.(inner) === true) runInside = AsyncLocalStorage.snapshot();
      });
      if (read() !== outer) this.#replace(outer);
      return runBefore(read) === outer && runInside?.(read) === inner && read() === outer;
    });
  }

  /**
   * Calls `fn` with the set in force, synchronously and in everything asynchronous that it starts;
   * brings back what was before on return and on throw.
   */
  run<This, Args extends unknown[], R>(
    set: LabelSet | undefined,
    fn: (this: This, ...args: Args) => R,
    thisArg: This,
    args: Args,
  ): R {
    const before = this.currentId();
    this.enter(set);
    try {
      return Reflect.apply(fn, thisArg, args);
    } finally {
      this.restore(before);
    }
  }

  /** The owner of the set (a span, a `withLabels` call) is done; flows that go on keep it. */
  release(set: LabelSet): void {
    this.#table.end(set);
  }

  /** The labels that a sample with this id was taken under; undefined: none, or lost to a limit. */
  labelsOf(id: number): Labels | undefined {
    const set = this.setOf(id);
    return set === undefined ? undefined : labelsOfSet(set);
  }

  /** The set that these labels come from. */
  setOf(id: number): LabelSet | undefined {
    const set = this.#table.resolve(id);
    if (set === undefined) this.#table.noteLost(id);
    return set;
  }

  /**
   * Lets the sampler read the labels from now on, in flows already under way as well. Returns how
   * it reads them. A second call with the same addon changes nothing.
   * Throws an Error where the addon does not fit this package.
   */
  connect(native: NativeLabels): LabelSource {
    if (this.#native === native && this.#source !== undefined) return this.#source;
    this.disconnect();
    this.#table.connect(native.sampledLabels);
    native.setLabelStorage(this.#storage);
    if (this.#native !== native) this.#hook = undefined;
    this.#native = native;
    this.#source = this.#chooseSource(native);
    this.#replaceLabel = this.#source === 'continuation' ? native.replaceLabel : undefined;
    if (this.#source === 'label-word') {
      this.#hook ??= new LabelWordHook(native.labelWord, () => this.currentId());
      this.#hook.enable(this.currentId());
      this.#labelWord = native.labelWord;
    }
    return this.#source;
  }

  /**
   * Connects where that costs nothing, with AsyncContextFrame: a thread in a long loop that begins
   * to be sampled by an interrupt, where no JavaScript can run, has its labels then.
   */
  prepare(native: NativeLabels): void {
    // A storage that is not ours: without AsyncContextFrame its first use enables hooks.
    const storage = new AsyncLocalStorage<number>();
    const [id] = PROBE_IDS;
    native.setLabelStorage(storage);
    const read = (): number => native.probeContinuationLabel();
    const readable = leavingNoTrace(() => storage.run(id, read)) === id;
    storage.disable();
    native.setLabelStorage(null);
    if (readable) this.connect(native);
  }

  /** The sampler has stopped: labels cost nothing beyond their own keeping any more. */
  disconnect(): void {
    this.#labelWord = undefined;
    this.#source = undefined;
    this.#hook?.disable();
  }

  /** To be called synchronously, right before samples are taken out of the addon. */
  beginCollect(): void {
    this.#table.beginCollect();
  }

  /** To be called when `labelsOf` was asked for all samples taken out. */
  endCollect(): void {
    this.#table.endCollect();
  }

  #chooseSource(native: NativeLabels): LabelSource {
    const isReadable = leavingNoTrace(() => probeContinuation(this.#storage, native));
    if (isReadable && native.setLabelSource('continuation')) {
      return 'continuation';
    }
    native.setLabelSource('label-word');
    if (leavingNoTrace(() => hooksSeeFlows(this.#storage, PROBE_IDS))) return 'label-word';
    warnOnce('label-source', 'labels cannot be read on this Node.js: samples will have none');
    return 'none';
  }

  /** An id whose place was taken must not come back: at some time it will be given out again. */
  #restorable(before: number): number {
    return this.get(before) === undefined ? 0 : before;
  }

  #replace(id: number): void {
    if (this.#replaceLabel?.(id) === true) this.#writes = (this.#writes + 1) | 0;
    else this.#write(id);
  }

  #write(id: number): void {
    this.#writes = (this.#writes + 1) | 0;
    this.#storage.enterWith(id);
    if (this.#labelWord !== undefined) this.#labelWord[0] = id;
  }

  #idOf(set: LabelSet): number {
    if (this.#table.has(set)) return set.id;
    if (this.#table.exhausted) this.#replaceStorage();
    return this.#table.add(set);
  }

  /** Flows under way lose their labels, so that none of them can meet a new set under its old id. */
  #replaceStorage(): void {
    this.#table.nextHalf();
    this.#storage.disable();
    this.#storage = new AsyncLocalStorage<number>();
    if (this.#source !== undefined) this.#native?.setLabelStorage(this.#storage);
  }
}

/**
 * Calls `fn` in the current flow, whose frame it cannot change: with AsyncContextFrame, every
 * storage that has been used in a flow is in all its frames, and each makes the next copy longer.
 */
function leavingNoTrace<T>(fn: () => T): T {
  return AsyncLocalStorage.snapshot()(fn);
}

/**
 * Whether the addon reads our storage from the continuation. Found by behaviour: flags and
 * versions do not tell (NODE_OPTIONS, builds without it, layouts that the addon does not know).
 */
function probeContinuation(storage: AsyncLocalStorage<number>, native: NativeLabels): boolean {
  const [first, second] = PROBE_IDS;
  const other = new AsyncLocalStorage<object>();
  const read = (): number => native.probeContinuationLabel();
  const isRead =
    storage.run(first, read) === first &&
    storage.run(second, read) === second &&
    storage.run(first, () => other.run({}, read)) === first;
  // Else, without AsyncContextFrame, every promise would carry it from now on.
  other.disable();
  return isRead;
}

/** The labels in force in this thread. */
export const activeLabels = threadSingleton('labels.v2', () => new ActiveLabels());
