/** The table from label ids, the small integers that samples carry, to label sets. */
import { warnOnce } from '../util/diagnostics.js';
import { EndedSets } from './ended-label-sets.js';
import type { LabelSet } from './label-set.js';

/** Ids that resolve at one time; a new id takes the place of the one this many older. */
export const LABEL_TABLE_SIZE = 32_768;
/** Overwritten sets kept because samples not yet collected refer to them; the oldest go first. */
export const MAX_PINNED_SETS = 32_768;

const MASK = LABEL_TABLE_SIZE - 1;

/**
 * Ids come from two halves of 1 … 2³¹ − 1 in turn. A sample not yet collected, or a flow that has
 * run since long ago, may still carry an id of the half before, which the new half never repeats.
 */
const HALF_STARTS = [1, 0x4000_0000] as const;
const HALF_ENDS = [0x4000_0000, 0x7fff_fff0] as const;

/** Two ids at the end of the range that no set ever gets: for probes. */
export const PROBE_IDS = [0x7fff_fff1, 0x7fff_fff2] as const;

/**
 * A ring of the last LABEL_TABLE_SIZE sets that came into force. Memory is bounded: a set that is
 * overwritten before it has ended is counted as dropped, and its flows are then without a label.
 * An id never resolves to another set than the one it was given to, or one that says the same: the
 * sets of ended spans are kept as numbers, and made anew where one is asked for.
 */
export class LabelTable {
  readonly #sets: (LabelSet | undefined)[] = new Array<LabelSet | undefined>(LABEL_TABLE_SIZE).fill(
    undefined,
  );
  /** What is not in `#sets`; made for the first set of a span that ends. */
  #endedSets: EndedSets | undefined;
  #pinned = new Map<number, LabelSet>();
  #pinnedBefore = new Map<number, LabelSet>();
  #collecting = false;
  /** The addon's flags, one per slot: a sample took this slot's id since the last collection. */
  #sampled: Uint8Array | undefined;
  #half = 0;
  #nextId: number;
  #active = 0;
  #dropped = 0;
  /** Of the sets that went last, so that each is counted once. */
  readonly #droppedIds = new Set<number>();

  /** `firstId` is for tests of what happens when ids run out. */
  constructor(firstId: number = HALF_STARTS[0]) {
    this.#nextId = firstId;
  }

  /** Sets in the table that have not ended. */
  get active(): number {
    return this.#active;
  }

  /**
   * Sets that had to go although a span, a flow or a sample still referred to them. Of a set that
   * has ended it is seen only later whether a flow still carries it: `noteLost` counts it then.
   */
  get dropped(): number {
    return this.#dropped;
  }

  /** The set that has this id now; undefined for 0 and for ids whose place was taken. */
  get(id: number): LabelSet | undefined {
    const slot = id & MASK;
    const set = this.#sets[slot];
    if (set !== undefined) return set.id === id ? set : undefined;
    const ended = this.#endedSets;
    if (id === 0 || ended?.idAt(slot) !== id) return undefined;
    return (this.#sets[slot] = ended.take(slot));
  }

  /** The set that a sample with this id was taken under, as long as it is known. */
  resolve(id: number): LabelSet | undefined {
    return this.get(id) ?? this.#pinned.get(id) ?? this.#pinnedBefore.get(id);
  }

  /** To be called with an id, found in a flow or a sample, that stands for no set any more. */
  noteLost(id: number): void {
    if (id === 0 || id >= PROBE_IDS[0] || this.#droppedIds.has(id)) return;
    this.#countDropped(id);
    warnOnce(
      'label-flow',
      `a flow that goes on after its span or withLabels has lost its labels to ${String(LABEL_TABLE_SIZE)} newer label sets`,
    );
  }

  /** Whether the set has an id that resolves to it. */
  has(set: LabelSet): boolean {
    const there = this.get(set.id);
    if (there === set) return true;
    // That of an ended span may have been made anew. Its id alone does not tell: they come again.
    if (there === undefined || !set.ended || !saySame(set, there)) return false;
    this.#sets[set.id & MASK] = set;
    return true;
  }

  /** Whether `add` would have no id to give; `nextHalf` makes room. */
  get exhausted(): boolean {
    return this.#nextId >= (HALF_ENDS[this.#half] ?? 0);
  }

  /** Forgets all ids but those that samples refer to, and goes on with the other half. */
  nextHalf(): void {
    for (let slot = 0; slot < LABEL_TABLE_SIZE; slot++) this.#evict(slot);
    this.#half = 1 - this.#half;
    this.#nextId = HALF_STARTS[this.#half] ?? 1;
  }

  /** Gives the set an id, in the place of the oldest one. */
  add(set: LabelSet): number {
    const id = this.#nextId++;
    const slot = id & MASK;
    this.#evict(slot);
    set.id = id;
    this.#sets[slot] = set;
    if (!set.ended) this.#active++;
    return id;
  }

  /** Marks the set as ended: its place may be taken without loss. */
  end(set: LabelSet): void {
    if (set.ended) return;
    set.ended = true;
    const slot = set.id & MASK;
    if (this.#sets[slot] !== set) return;
    this.#active--;
    this.#endedSets ??= new EndedSets(LABEL_TABLE_SIZE);
    if (this.#endedSets.keep(slot, set)) this.#sets[slot] = undefined;
  }

  /** Uses these flags from now on; their length must be LABEL_TABLE_SIZE. */
  connect(sampled: Uint8Array): void {
    if (sampled.length !== LABEL_TABLE_SIZE) {
      throw new Error(
        `the addon counts ${String(sampled.length)} labels, this package ${String(LABEL_TABLE_SIZE)}`,
      );
    }
    this.#sampled = sampled;
  }

  /**
   * To be called right before the samples are taken out of the addon: what is pinned until now
   * can go at `endCollect`. Until then every overwritten set is kept, sampled or not.
   */
  beginCollect(): void {
    this.#collecting = true;
    // A begin without its end (a failed collection) keeps what it had.
    for (const [id, set] of this.#pinnedBefore) {
      if (!this.#pinned.has(id)) this.#pinned.set(id, set);
    }
    this.#pinnedBefore = this.#pinned;
    this.#pinned = new Map();
    // Before the samples are taken: one that comes in between marks its slot again.
    this.#sampled?.fill(0);
  }

  /** To be called when the labels of all samples taken out are resolved. */
  endCollect(): void {
    this.#collecting = false;
    this.#pinnedBefore = new Map();
  }

  #evict(slot: number): void {
    const sampled = this.#sampled;
    const isWanted = this.#collecting || (sampled !== undefined && sampled[slot] !== 0);
    const old = this.#sets[slot];
    const ended = this.#endedSets;
    if (old !== undefined) {
      if (!old.ended) {
        this.#active--;
        this.#drop(old.id);
      }
      if (isWanted) this.#pin(old);
      this.#sets[slot] = undefined;
    } else if (ended !== undefined && ended.idAt(slot) !== 0) {
      if (isWanted) this.#pin(ended.take(slot));
      else ended.forget(slot);
    }
    if (sampled !== undefined) sampled[slot] = 0;
  }

  #pin(set: LabelSet): void {
    // A set that comes into force again gets a new id, so the samples' id is kept beside it.
    this.#pinned.set(set.id, set);
    if (this.#pinned.size <= MAX_PINNED_SETS) return;
    const oldest = this.#pinned.keys().next();
    if (oldest.done === true) return;
    this.#pinned.delete(oldest.value);
    this.#drop(oldest.value);
  }

  #drop(id: number): void {
    this.#countDropped(id);
    warnOnce(
      'label-table',
      `more than ${String(LABEL_TABLE_SIZE)} label sets at one time (spans that never end?); the oldest were dropped`,
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

/** Of sets without labels of the user's own. */
function saySame(a: LabelSet, b: LabelSet): boolean {
  if (a.trace === undefined || b.trace === undefined) return false;
  if (a.user !== undefined || b.user !== undefined) return false;
  const other: object = b.trace;
  return Object.entries(a.trace).every(([name, value]) => Reflect.get(other, name) === value);
}
