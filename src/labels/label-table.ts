/** The table from label ids, the small integers that samples carry, to label sets. */
import { warnOnce } from '../util/diagnostics.js';
import { EndedLabelSets, type EndedParts } from './ended-label-sets.js';
import type { LabelSet } from './label-set.js';
import { nameOf, type SpanDetails } from './span-details.js';

/** Ids that resolve at one time; a new id takes the index of the one this many older. */
export const LABEL_TABLE_SIZE = 32_768;
/** Overwritten sets kept because uncollected samples refer to them; the oldest is dropped first. */
export const MAX_PINNED_SETS = 32_768;

/**
 * Label sets whose CPU time `cpuNanosOf` adds to that of their span. An older one's is added when a
 * newer one takes its place, and again when its entry is overwritten.
 */
export const MAX_CPU_PARTS = 64;

const MASK = LABEL_TABLE_SIZE - 1;

/**
 * Ids come alternately from two halves of 1 … 2³¹ − 1. An uncollected sample or an old async
 * context may still carry an id of the previous half, which the new half never repeats.
 */
const HALF_STARTS = [1, 0x4000_0000] as const;
const HALF_ENDS = [0x4000_0000, 0x7fff_fff0] as const;

/** Two ids for probes, at the end of the range: no set ever gets them. */
export const PROBE_IDS = [0x7fff_fff1, 0x7fff_fff2] as const;

/** An id that is no set's, and stands for no labels; `kNoLabels` in native/handler/context_label.h. */
export const NO_LABELS = 0x7fff_fff3;

/**
 * The parts that `native/threads/label_reader.h` reads when a worker is terminated. That runs no JavaScript,
 * and expects everything where it is: in data properties of plain objects, arrays and maps. Change
 * this, `LabelSet`, `TraceLabels`, `UserLabels` and `SpanDetails` together with it. JavaScript may
 * be stopped between any two steps: an id must never be found with another set's labels.
 */
export interface LabelTableParts {
  /** By `id & (LABEL_TABLE_SIZE - 1)`. */
  readonly sets: (LabelSet | undefined)[];
  /** Ended sets that are not in `sets`; made for the first one. */
  ended: EndedParts | undefined;
  /** Overwritten sets that samples refer to, by id: since the last collection began… */
  pinned: Map<number, LabelSet>;
  /** …and before it, until it is complete. */
  pinnedBefore: Map<number, LabelSet>;
}

/**
 * A ring of the last LABEL_TABLE_SIZE sets that became current. Memory is bounded: a set that is
 * overwritten before it has ended is counted as dropped, and its async contexts have no labels
 * then. An id resolves only to the set that it was given to, or to an equal one: the sets of ended
 * spans are stored as numbers, and made again when one is looked up.
 */
export class LabelTable {
  readonly #sets: (LabelSet | undefined)[] = new Array<LabelSet | undefined>(LABEL_TABLE_SIZE).fill(
    undefined,
  );
  #endedSets: EndedLabelSets | undefined;
  readonly parts: LabelTableParts = {
    sets: this.#sets,
    ended: undefined,
    pinned: new Map(),
    pinnedBefore: new Map(),
  };
  #collecting = false;
  /** The addon's flags, one per index: a sample took an id of it since the last collection. */
  #sampled: Uint8Array | undefined;
  /** CPU time in nanoseconds of the samples under each entry's id; undefined: not counted. */
  #cpuNanos: Float64Array | undefined;
  /** Makes the addon's array for `#cpuNanos`; undefined before `connect`. */
  #makeCpuNanos: (() => Float64Array) | undefined;
  #countsCpu = false;
  #half = 0;
  /** The first id that this half has given since `nextHalf`. */
  #firstId: number;
  #nextId: number;
  #active = 0;
  #dropped = 0;
  /** Ids of the sets dropped last, so that each is counted once. */
  readonly #droppedIds = new Set<number>();

  /** `firstId` is for tests of exhausted ids. */
  constructor(firstId: number = HALF_STARTS[0]) {
    this.#firstId = this.#nextId = firstId;
  }

  /** Sets in the table that have not ended. */
  get active(): number {
    return this.#active;
  }

  /**
   * Sets dropped although a span, an async context or a sample still referred to them. Whether an
   * async context still carries an ended set shows only later: `countLost` counts it then.
   */
  get dropped(): number {
    return this.#dropped;
  }

  /** Returns the set with this id; undefined for 0, or if a newer set has its index. */
  get(id: number): LabelSet | undefined {
    const index = id & MASK;
    const set = this.#sets[index];
    if (set !== undefined) return set.id === id ? set : undefined;
    const ended = this.#endedSets;
    if (id === 0 || ended?.idAt(index) !== id) return undefined;
    return (this.#sets[index] = ended.take(index));
  }

  /** Returns the set with this id if its owner has not ended. */
  openSet(id: number): LabelSet | undefined {
    const set = this.#sets[id & MASK];
    return set !== undefined && set.id === id && !set.ended ? set : undefined;
  }

  /** Whether `get` returns a set for this id, which is so for the last ids given. */
  isKnown(id: number): boolean {
    const age = this.#nextId - id;
    return age > 0 && age <= LABEL_TABLE_SIZE && id >= this.#firstId;
  }

  /** Returns the set of a sample with this id; undefined for 0, or if it was dropped. */
  resolve(id: number): LabelSet | undefined {
    return this.get(id) ?? this.parts.pinned.get(id) ?? this.parts.pinnedBefore.get(id);
  }

  /** Call this with an id, found in an async context or a sample, that resolves to no set. */
  countLost(id: number): void {
    if (id === 0 || id >= PROBE_IDS[0] || this.#droppedIds.has(id)) return;
    this.#countDropped(id);
    warnOnce(
      'label-async-context',
      `an async context that outlived its span or withLabels lost its labels: ${String(LABEL_TABLE_SIZE)} newer label sets took their index`,
    );
  }

  /** Whether the set has an id that resolves to it. */
  has(set: LabelSet): boolean {
    const found = this.get(set.id);
    if (found === set) return true;
    // An ended set may have been made again. Equal ids do not prove it: ids are reused.
    if (found === undefined || !set.ended || !hasSameLabels(set, found)) return false;
    this.#sets[set.id & MASK] = set;
    return true;
  }

  /** Whether no id is left for `add`; `nextHalf` makes room. */
  get exhausted(): boolean {
    return this.#nextId >= (HALF_ENDS[this.#half] ?? 0);
  }

  /** Forgets all ids except those that samples refer to, and continues with the other half. */
  nextHalf(): void {
    for (let index = 0; index < LABEL_TABLE_SIZE; index++) this.#evict(index);
    this.#half = 1 - this.#half;
    this.#firstId = this.#nextId = HALF_STARTS[this.#half] ?? 1;
  }

  /** Gives the set an id, at the index of the oldest one. */
  add(set: LabelSet): number {
    const id = this.#nextId++;
    const index = id & MASK;
    this.#evict(index);
    if (set.cpuOwner !== set && set.id === 0) this.#addCpuPart(set);
    set.id = id;
    this.#sets[index] = set;
    if (!set.ended) this.#active++;
    return id;
  }

  /** Marks the set as ended: if it is overwritten then, it is not counted as dropped. */
  end(set: LabelSet): void {
    if (set.ended) return;
    set.ended = true;
    const index = set.id & MASK;
    if (this.#sets[index] !== set) return;
    this.#active--;
    this.pack(set);
  }

  /**
   * Keeps the labels of an ended set in less memory, if it is in the table. Call this when the set is
   * not expected to become current again.
   */
  pack(set: LabelSet): void {
    const index = set.id & MASK;
    if (this.#sets[index] !== set) return;
    this.#endedSets ??= this.#makeEndedSets();
    if (this.#endedSets.store(index, set)) this.#sets[index] = undefined;
  }

  /** Returns the CPU time in nanoseconds of the samples under a span's set and the sets in `cpuParts`. */
  cpuNanosOf(set: LabelSet): number {
    let nanos = set.cpuNanos + this.#entryNanos(set);
    if (set.cpuParts !== undefined) {
      for (const part of set.cpuParts) nanos += this.#entryNanos(part);
    }
    return nanos;
  }

  /**
   * Uses these arrays of the addon from now on; their length must be LABEL_TABLE_SIZE. The one for
   * CPU times is made after `countCpuTime` only: V8 counts its 256 kB as external memory, for which
   * a small worker's first full collection would come early.
   */
  connect(sampled: Uint8Array, makeCpuNanos: () => Float64Array): void {
    if (sampled.length !== LABEL_TABLE_SIZE) {
      throw new Error(
        `the addon's label table has ${String(sampled.length)} entries, this package's ${String(LABEL_TABLE_SIZE)}`,
      );
    }
    this.#sampled = sampled;
    if (this.#makeCpuNanos === makeCpuNanos) return;
    this.#makeCpuNanos = makeCpuNanos;
    this.#cpuNanos = undefined;
    if (this.#countsCpu) this.countCpuTime();
  }

  /** From now on, `cpuNanosOf` returns the CPU time of samples. */
  countCpuTime(): void {
    this.#countsCpu = true;
    // The memory may have been another thread's before.
    this.#cpuNanos ??= this.#makeCpuNanos?.().fill(0);
  }

  /**
   * Call this right before the samples are taken out of the addon: `endCollect` drops the sets
   * pinned until now. Until then every overwritten set is kept, sampled or not.
   */
  beginCollect(): void {
    this.#collecting = true;
    const { parts } = this;
    // After a `beginCollect` without `endCollect` (a failed collection) its sets stay pinned.
    for (const [id, set] of parts.pinnedBefore) {
      if (!parts.pinned.has(id)) parts.pinned.set(id, set);
    }
    parts.pinnedBefore = parts.pinned;
    parts.pinned = new Map();
    // Before the samples are taken: a sample in between marks its index again.
    this.#sampled?.fill(0);
  }

  /** Call this once the labels of all samples taken out are resolved. */
  endCollect(): void {
    this.#collecting = false;
    this.parts.pinnedBefore = new Map();
  }

  #makeEndedSets(): EndedLabelSets {
    const sets = new EndedLabelSets(LABEL_TABLE_SIZE);
    this.parts.ended = sets.parts;
    return sets;
  }

  #evict(index: number): void {
    const sampled = this.#sampled;
    const isWanted = this.#collecting || (sampled !== undefined && sampled[index] !== 0);
    const old = this.#sets[index];
    const ended = this.#endedSets;
    this.#takeNanos(index, old);
    if (old !== undefined) {
      if (!old.ended) {
        this.#active--;
        this.#drop(old.id);
      }
      if (isWanted) this.#pin(old);
      this.#sets[index] = undefined;
    } else if (ended !== undefined && ended.idAt(index) !== 0) {
      if (isWanted) this.#pin(ended.take(index));
      else ended.forget(index);
    }
    if (sampled !== undefined) sampled[index] = 0;
  }

  #entryNanos(set: LabelSet): number {
    const index = set.id & MASK;
    return this.#sets[index] === set ? (this.#cpuNanos?.[index] ?? 0) : 0;
  }

  /** Adds the CPU time of an entry to the span's set, and resets it. */
  #takeNanos(index: number, set: LabelSet | undefined): void {
    const cpuNanos = this.#cpuNanos;
    if (cpuNanos === undefined || cpuNanos[index] === 0) return;
    if (set !== undefined) set.cpuOwner.cpuNanos += cpuNanos[index] as number;
    cpuNanos[index] = 0;
  }

  #addCpuPart(set: LabelSet): void {
    const parts = (set.cpuOwner.cpuParts ??= []);
    parts.push(set);
    if (parts.length <= MAX_CPU_PARTS) return;
    const oldest = parts.shift() as LabelSet;
    if (this.#sets[oldest.id & MASK] === oldest) this.#takeNanos(oldest.id & MASK, oldest);
  }

  #pin(set: LabelSet): void {
    // A set that becomes current again gets a new id, so the map has it under the samples' id.
    const { pinned } = this.parts;
    pinned.set(set.id, set);
    if (pinned.size <= MAX_PINNED_SETS) return;
    const oldest = pinned.keys().next();
    if (oldest.done === true) return;
    pinned.delete(oldest.value);
    this.#drop(oldest.value);
  }

  #drop(id: number): void {
    this.#countDropped(id);
    warnOnce(
      'label-table',
      `the label table dropped its oldest label sets: more than ${String(LABEL_TABLE_SIZE)} exist at one time (spans that never end?)`,
    );
  }

  #countDropped(id: number): void {
    this.#dropped++;
    this.#droppedIds.add(id);
    if (this.#droppedIds.size <= LABEL_TABLE_SIZE) return;
    const oldest = this.#droppedIds.values().next();
    if (oldest.done !== true) this.#droppedIds.delete(oldest.value);
  }
}

/** Whether two sets with either a span's labels or the user's own have equal labels. */
function hasSameLabels(a: LabelSet, b: LabelSet): boolean {
  if (a.trace === undefined || b.trace === undefined) {
    // A set that was made again has the arrays that were stored.
    return (
      a.trace === b.trace && a.user?.names === b.user?.names && a.user?.values === b.user?.values
    );
  }
  if (a.user !== undefined || b.user !== undefined) return false;
  const [one, other] = [a.trace, b.trace];
  return (
    one.traceId === other.traceId &&
    one.rootSpanId === other.rootSpanId &&
    one.rootSampled === other.rootSampled &&
    one.traceIdLabel === other.traceIdLabel &&
    one.spanIdLabel === other.spanIdLabel &&
    hasSameDetails(one.root, other.root) &&
    (one.named === undefined
      ? other.named === undefined
      : other.named !== undefined && hasSameDetails(one.named, other.named))
  );
}

function hasSameDetails(a: SpanDetails, b: SpanDetails): boolean {
  return a === b || (nameOf(a) === nameOf(b) && a.attributes === b.attributes);
}
