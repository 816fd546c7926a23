/** The current labels: the async storage of their id, and how the signal handler reads it. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { warnOnce } from '../util/diagnostics.js';
import { CarriedIds } from './carried-ids.js';
import { LabelWordHook } from './label-word-hook.js';
import { labelsOfSet, type LabelSet } from './label-set.js';
import { chooseSource, nameStorage, readsStores, type LabelSource } from './label-source.js';
import { LabelTable, NO_LABELS } from './label-table.js';
import type { Labels } from '../util/labels.js';
import {
  probeCarriedLabels,
  probeHookedContexts,
  probeTemporaryStorage,
  STORAGES_USE_HOOKS,
  type ContextObject,
  type Contexts,
} from './probes.js';
import type { NativeLabels } from '../addon/loader.js';
import { threadSingleton } from '../util/thread-singleton.js';

/** For `leaveContext`: the sampler was not told the id from before. */
const UNTOLD = -1;
/**
 * The current labels, one object per thread.
 *
 * An async context carries the id of its label set, a small integer, in an AsyncLocalStorage, or,
 * where that has none, in the active context of OpenTelemetry, if `carryBy` has found that the sampler
 * can learn it there. The signal handler reads the id, and a sample stores only that.
 * Everything works without a sampler; `connect` is called before it runs, `disconnect` after it.
 */
export class ActiveLabels {
  /**
   * Undefined until the first label where storages use async_hooks: Node.js 24 and 26 without
   * AsyncContextFrame enable hooks for each storage that is made, 20 and 22 at its first use.
   */
  #storage = STORAGES_USE_HOOKS ? undefined : new AsyncLocalStorage<number>();
  readonly #table: LabelTable;
  #native: NativeLabels | undefined;
  /** How the signal handler reads labels; undefined until it does. */
  #source: LabelSource | undefined;
  /** Between `connect` and `disconnect`; there is a source from the first label on at the latest. */
  #isConnected = false;
  #hook: LabelWordHook | undefined;
  /** The addon's label word while it has to be written; else undefined. */
  #labelWord: Int32Array | undefined;
  /** Whether the addon can read ids from the stores; it still can after `disconnect`. */
  #readsStores = false;
  readonly #carried = new CarriedIds();
  /** Whether an id has been stored in any async context; if not, none is looked up. */
  #hasStored = false;
  /** Whether there have been labels of the user's own, which depend on the async context. */
  hasUserLabels = false;
  /** Counts what a call of `with` may have to undo at its end: ids stored, and changes of `ended`. */
  changes = 0;
  /**
   * The id that the context of the innermost call of `with` carries, while that runs; 0: none. Not the
   * context: to keep a young object here, 24 times a request, takes V8 a hundred instructions each time.
   */
  innermost = 0;
  /** The id `innermost`, if its span has ended in this call: it is not current; else 0. See `setEnded`. */
  ended = 0;
  /** Where the signal handler reads that. */
  #endedLabel: Int32Array | undefined;

  /** `firstId` is for tests of exhausted ids. */
  constructor(firstId?: number) {
    this.#table = new LabelTable(firstId);
  }

  /** Label sets in the table that have not ended. */
  get activeLabelSets(): number {
    return this.#table.active;
  }

  /** Label sets lost to the limits of the table since the package was loaded. */
  get droppedLabelSets(): number {
    return this.#table.dropped;
  }

  /** Returns the current set, or undefined for no labels. */
  current(): LabelSet | undefined {
    return this.get(this.currentId());
  }

  /** Returns the id that this async context carries, or 0; a newer set may have its index. */
  currentId(): number {
    const stored = this.storedId();
    if (stored !== 0) return stored === NO_LABELS ? 0 : stored;
    const id = this.#carried.activeId();
    return id === this.ended ? 0 : id;
  }

  /** Returns the id in the storage: `NO_LABELS`, or 0: that of the context, if it has one. */
  storedId(): number {
    return this.#hasStored ? (this.#storage?.getStore() ?? 0) : 0;
  }

  /** Returns the set with this id; undefined for 0, or if a newer set has its index (counted). */
  get(id: number): LabelSet | undefined {
    if (id === 0) return undefined;
    const set = this.#table.get(id);
    if (set === undefined) this.#table.countLost(id);
    return set;
  }

  /**
   * Makes the set current for the rest of this async context (undefined: no labels). Returns the
   * number of changes, for `restore`.
   */
  enter(set: LabelSet | undefined): number {
    this.#write(set === undefined ? this.#none : this.#idOf(set));
    return this.changes;
  }

  /**
   * Stores the id again that `storedId` returned before an `enter` in the same async context.
   * `changes` is the number that `enter` returned: if others wrote since, the id may already be the
   * right one.
   */
  restore(before: number, changes?: number): void {
    const id = this.#restorable(before);
    // A read costs half a write, so the id is read first only where that may save the write.
    if (changes !== undefined && changes !== this.changes && this.storedId() === id) {
      this.#tell(id);
    } else {
      this.#write(id);
    }
  }

  /** Whether these are the contexts that carry ids. */
  isCarriedBy(contexts: Contexts): boolean {
    return this.#carried.contexts === contexts;
  }

  /**
   * Lets these contexts carry ids, if the sampler can learn them there; returns whether it can. Others
   * that carried them do so no longer. Where storages use hooks, call it only for a label.
   */
  carryBy(contexts: Contexts): boolean {
    if (STORAGES_USE_HOOKS && this.#source === undefined) this.#beginReading();
    if (!STORAGES_USE_HOOKS && !this.#readsStores) return false;
    const native = this.#readsStores ? this.#native : undefined;
    const canCarry = (key: symbol): boolean =>
      native === undefined
        ? probeHookedContexts(contexts)
        : probeCarriedLabels(native, key, contexts);
    if (!this.#carried.begin(contexts, canCarry)) return false;
    if (this.#source === 'label-word') this.#writeLabelWord(Math.max(this.told(), 0));
    return true;
  }

  /** Whether contexts carry ids, so that one that is stored replaces that of the active context. */
  get areCarried(): boolean {
    return this.#carried.contexts !== undefined;
  }

  /** Whether the context, one of these, carries an id that stands for a set. */
  carriesSet(context: ContextObject, contexts: Contexts): boolean {
    return this.isCarriedBy(contexts) && this.#table.isKnown(this.#carried.idOf(context));
  }

  /**
   * Returns the set that the context carries, if its owner has not ended; undefined as well if labels
   * of the user's own may be current with it.
   */
  openSetOf(context: ContextObject | undefined): LabelSet | undefined {
    return this.hasUserLabels ? undefined : this.#table.openSet(this.#carried.idOf(context));
  }

  /**
   * Lets the context carry the set, or no labels, in all async contexts that have it. Returns false
   * where the sampler could not read that.
   */
  carry(context: ContextObject, set: LabelSet | undefined): boolean {
    if (set === undefined) return this.#carried.idOf(context) === 0;
    const reader = this.#readsStores ? this.#native : undefined;
    return this.#carried.put(context, this.#idOf(set), reader);
  }

  /** Sets `ended`, until the call of `with` that it belongs to returns. */
  setEnded(id: number): void {
    this.#countChange();
    this.ended = id;
    if (this.#endedLabel !== undefined) this.#endedLabel[0] = id;
  }

  /** Returns the id that the sampler was told, for `leaveContext`, where it has to be told. */
  told(): number {
    return this.#labelWord === undefined ? UNTOLD : (this.#labelWord[0] as number);
  }

  /**
   * Begins a call of `with` whose context carries its labels. Returns what `told` returned before it,
   * for `leaveContext`, which ends the call; `undoChanges` does before, if `changes` is another number.
   */
  enterContext(context: ContextObject): number {
    const id = this.#carried.idOf(context);
    this.innermost = id;
    if (this.ended !== 0) this.setEnded(0);
    const before = this.told();
    if (this.#labelWord !== undefined) this.#labelWord[0] = id;
    return before;
  }

  /** Undoes what `changes` has counted in a call of `with`; `ended` is as it was before. */
  undoChanges(ended: number): void {
    if (this.ended !== ended) this.setEnded(ended);
    // A span that has ended inside may have left its parent's labels to this async context.
    if (this.storedId() !== 0) this.restore(0);
  }

  /**
   * Tells the sampler the id from before, at the end of a call. Not that of the active context: it may
   * be active by a call from before the manager was patched, at whose end nobody would take it back.
   */
  leaveContext(before: number): void {
    if (this.#labelWord === undefined) return;
    const id = before === UNTOLD ? this.currentId() : before;
    this.#labelWord[0] = this.#table.isKnown(id) ? id : 0;
  }

  /** Contexts carry ids no longer, where the sampler may have to be told, because nobody tells it. */
  stopCarrying(): void {
    if (!this.#readsStores) this.#carried.forget();
  }

  /** The contexts have no ids any more, for the sampler as well. */
  forgetContexts(): void {
    this.#carried.forget();
    this.#native?.forgetContexts?.();
    this.#tell(0);
  }

  /**
   * Lets no labels be current, without storing that, until the call of `with` that runs returns:
   * asynchronous work that begins in it has the labels of its context. `id` is the current one. Returns
   * false where it is not that of such a call's context, or the sampler would not see it.
   */
  endInCall(id: number): boolean {
    // Where none is stored, the current id is that of the active context.
    if (id === 0 || id !== this.innermost || this.storedId() !== 0) return false;
    if (!STORAGES_USE_HOOKS && this.#endedLabel === undefined) return false;
    this.setEnded(id);
    this.#tell(NO_LABELS);
    return true;
  }

  /**
   * Calls `fn`. The set is current during the call and in all asynchronous work that it starts; on
   * return or throw the set from before is current again.
   */
  run<This, Args extends unknown[], R>(
    set: LabelSet | undefined,
    fn: (this: This, ...args: Args) => R,
    thisArg: This,
    args: Args,
  ): R {
    const before = this.storedId();
    const outside = this.told();
    const changes = this.enter(set);
    try {
      return Reflect.apply(fn, thisArg, args);
    } finally {
      this.restore(before, changes);
      this.leaveContext(outside);
    }
  }

  /** Called when the set's owner (a span, a `withLabels` call) ends; async contexts may keep it. */
  release(set: LabelSet): void {
    this.#table.end(set);
  }

  /** Keeps a set that has ended in less memory; call this when it is not expected to be used again. */
  pack(set: LabelSet): void {
    this.#table.pack(set);
  }

  /** Counts CPU time for `cpuNanosOf` from now on; a second call does nothing. */
  countCpuTime(): void {
    this.#table.countCpuTime();
  }

  /** Returns the CPU time in nanoseconds of all samples under a span's set since `countCpuTime`. */
  cpuNanosOf(set: LabelSet): number {
    return this.#table.cpuNanosOf(set);
  }

  /** Returns the labels of a sample with this id; undefined: none, or lost to a limit (counted). */
  labelsOf(id: number): Labels | undefined {
    const set = this.setOf(id);
    return set === undefined ? undefined : labelsOfSet(set);
  }

  /** Returns the set of a sample with this id; undefined: none, or lost to a limit (counted). */
  setOf(id: number): LabelSet | undefined {
    const set = this.#table.resolve(id);
    if (set === undefined) this.#table.countLost(id);
    return set;
  }

  /**
   * Lets the sampler read the labels from now on, also in async contexts that exist already.
   * Returns how it reads them; where storages use async_hooks, undefined until the thread has its
   * first label: no hook is enabled before. A second call with the same addon changes nothing.
   * Throws an Error where the addon does not fit this package.
   */
  connect(native: NativeLabels): LabelSource | undefined {
    if (this.#native === native && this.#isConnected) return this.#source;
    this.disconnect();
    this.#table.connect(native.sampledLabels, native.labelCpuNanos);
    native.setLabelTable(this.#table.parts);
    if (this.#native !== native) {
      this.#hook = undefined;
      this.#readsStores = false;
      if (!STORAGES_USE_HOOKS) this.#carried.forget();
    }
    this.#native = native;
    this.#endedLabel = native.endedLabel;
    this.setEnded(this.ended);
    this.#isConnected = true;
    if (this.#storage !== undefined || this.areCarried) this.#beginReading();
    else native.setLabelSource('label-word');
    return this.#source;
  }

  /**
   * Connects before sampling starts, where that costs nothing (AsyncContextFrame). If an interrupt
   * of a long loop then starts sampling, where no JavaScript can run, samples have labels.
   */
  connectEarly(native: NativeLabels): void {
    if (!STORAGES_USE_HOOKS && probeTemporaryStorage(native)) this.connect(native);
  }

  /** Call this when the sampler has stopped. Labels still work; the hook is disabled. */
  disconnect(): void {
    this.#labelWord = undefined;
    this.#source = undefined;
    this.#isConnected = false;
    this.#hook?.disable();
  }

  /** Call this synchronously, right before samples are taken out of the addon. */
  beginCollect(): void {
    if (this.#hook !== undefined && this.#hook.failures > 0) {
      warnOnce(
        'label-hook',
        'callbacks were sampled without labels: AsyncLocalStorage threw in an async hook',
      );
    }
    this.#table.beginCollect();
  }

  /** Call this once the labels of all samples taken out have been looked up. */
  endCollect(): void {
    this.#table.endCollect();
  }

  /** Lets the sampler read the ids, if it is connected; where storages use hooks, there is a label. */
  #beginReading(): void {
    if (this.#native === undefined || !this.#isConnected) return;
    this.#source = chooseSource(this.#native, this.#storage, this.#carried);
    this.#readsStores = readsStores(this.#source);
    if (this.#source === 'label-word') this.#writeLabelWord();
  }

  #countChange(): void {
    this.changes = (this.changes + 1) | 0;
  }

  #writeLabelWord(id = this.currentId()): void {
    const native = this.#native;
    if (native === undefined) return;
    this.#hook ??= new LabelWordHook(native.labelWord, () => this.currentId());
    // It runs after the hooks of a context manager that was made later.
    this.#hook.disable();
    this.#hook.enable(id);
    this.#labelWord = native.labelWord;
  }

  /** Tells the sampler, where it has to be told, that the id in the storage is this one. */
  #tell(id: number): void {
    if (this.#labelWord === undefined) return;
    this.#labelWord[0] = id === 0 ? this.currentId() : id === NO_LABELS ? 0 : id;
  }

  /** The id to store for no labels. */
  get #none(): number {
    return this.areCarried ? NO_LABELS : 0;
  }

  /** Returns `before`, or no labels if a newer set has its index: ids without a set are reused some day. */
  #restorable(before: number): number {
    if (before === 0 || before === NO_LABELS) return before;
    return this.get(before) === undefined ? this.#none : before;
  }

  #write(id: number): void {
    let storage = this.#storage;
    if (storage === undefined) {
      if (id === 0) return;
      storage = this.#beginLabels();
    }
    this.#countChange();
    this.#hasStored = true;
    storage.enterWith(id);
    this.#tell(id);
  }

  /** Makes the storage for the first label; enables hooks. */
  #beginLabels(): AsyncLocalStorage<number> {
    const storage = new AsyncLocalStorage<number>();
    this.#storage = storage;
    this.#beginReading();
    return storage;
  }

  #idOf(set: LabelSet): number {
    if (this.#table.has(set)) return set.id;
    if (this.#table.exhausted) this.#replaceStorage();
    return this.#table.add(set);
  }

  /** Takes the labels from existing async contexts, so that no id of theirs can mean a new set. */
  #replaceStorage(): void {
    this.#table.nextHalf();
    this.#carried.takeAll();
    this.#native?.forgetContexts?.();
    if (this.#labelWord !== undefined) this.#labelWord[0] = 0;
    if (this.#storage === undefined) return;
    this.#storage.disable();
    this.#storage = new AsyncLocalStorage<number>();
    if (this.#native !== undefined) nameStorage(this.#native, this.#storage);
  }
}

/** The current labels of this thread. */
export const activeLabels = threadSingleton('labels.v7', () => new ActiveLabels());
