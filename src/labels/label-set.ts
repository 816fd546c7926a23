/** One set of labels in force: what a span and `withLabels` contribute, and the object they make. */
import { warnOnce } from '../util/diagnostics.js';

/** Labels in force at one place, at most; the youngest of the user's own beyond it are dropped. */
export const MAX_LABELS = 32;
/** Bytes of UTF-8 that a label value keeps; longer ones are cut at a character boundary. */
export const MAX_LABEL_VALUE_BYTES = 2_048;

export type Labels = Readonly<Record<string, string>>;

/** What the spans of one local trace contribute to the labels; '' where a label is not set. */
export interface TraceLabels {
  /** The trace of the span that these labels were made for. */
  readonly traceId: string;
  /** The local root that ids refer to: the first labelled span here, or the first sampled one. */
  readonly rootSpanId: string;
  readonly rootSampled: boolean;
  /** The name, at its start and cut, of the first labelled span of the trace in this process. */
  readonly rootName: string;
  readonly traceIdLabel: string;
  readonly spanIdLabel: string;
  readonly spanNameLabel: string;
}

/** The user's own labels in force; immutable, shared by all sets that carry them. */
export interface UserLabels {
  readonly values: ReadonlyMap<string, string>;
  /** The one set that holds these labels and no span's. */
  alone: LabelSet | undefined;
}

/**
 * A plain object rather than a class with private state: two copies of the package in a process
 * work on each other's sets.
 */
export interface LabelSet {
  /** Place in the label table, 0 until the set first comes into force; see label-table.ts. */
  id: number;
  /** The span has ended or `withLabels` has returned; flows that go on keep the labels. */
  ended: boolean;
  readonly trace: TraceLabels | undefined;
  readonly user: UserLabels | undefined;
  /** The span's own set that this one was made from by adding the user's labels, or itself. */
  readonly base: LabelSet;
  /** What a span's `end()` brings back into force; forgotten after it. */
  parent: LabelSet | undefined;
  /** The id of the span that owns this set; '' where no span does. */
  readonly owner: string;
  /** How many parents hang on this one. */
  readonly depth: number;
  /** The last set made from this one for a flow with other labels of the user's own… */
  variant: LabelSet | undefined;
  /** …and the labels of that flow. */
  variantFor: UserLabels | undefined;
  /** The labels as one object, made when first asked for. */
  labels: Labels | undefined;
}

/**
 * Unended spans started one in another hold on to their parents: beyond this many the chain is
 * cut, and `end()` of the span there brings nothing back.
 */
const MAX_PARENTS = 1_024;

const encoder = new TextEncoder();

/** Counts of what the limits took away since the package was loaded. */
export const labelLosses = { cutValues: 0, droppedLabels: 0 };

/**
 * A new set: of the span `owner`, with what its end brings back; or of no span, in force over
 * `base` if that is one.
 */
export function createLabelSet(
  trace: TraceLabels | undefined,
  user: UserLabels | undefined,
  parent?: LabelSet,
  owner = '',
  base?: LabelSet,
): LabelSet {
  const chained = parent !== undefined && parent.depth < MAX_PARENTS ? parent : undefined;
  const set = {
    id: 0,
    ended: false,
    trace,
    user,
    base: base as LabelSet,
    parent: chained,
    owner,
    depth: chained === undefined ? 0 : chained.depth + 1,
    variant: undefined,
    variantFor: undefined,
    labels: undefined,
  };
  if (base === undefined) set.base = set;
  return set;
}

/** The set of a flow that is in no span; undefined where there are no labels at all. */
export function userOnly(user: UserLabels | undefined): LabelSet | undefined {
  if (user === undefined) return undefined;
  if (user.alone === undefined) {
    user.alone = createLabelSet(undefined, user);
    user.alone.ended = true;
  }
  return user.alone;
}

/** A span's set as it stands in a flow whose own labels are `user`: those win over the span's. */
export function inFlow(set: LabelSet, user: UserLabels | undefined): LabelSet {
  if (user === undefined || user === set.user) return set;
  const last = set.variant;
  if (last !== undefined && (set.variantFor === user || last.user === user)) return last;
  const merged = mergeUserLabels(set.user, user);
  if (merged === set.user) return set;
  const variant = createLabelSet(set.trace, merged, undefined, '', set);
  // Nobody ends a variant; it lives and counts with the span's own set.
  variant.ended = true;
  set.variant = variant;
  set.variantFor = user;
  return variant;
}

/** `over` merged over `under`; one of the two themselves where that says the same. */
export function mergeUserLabels(
  under: UserLabels | undefined,
  over: UserLabels | undefined,
): UserLabels | undefined {
  if (over === undefined || under === over) return under;
  if (under === undefined) return over;
  if (covers(over.values, under.values)) return over;
  const values = new Map(under.values);
  for (const [name, value] of over.values) values.set(name, value);
  if (sameEntries(values, under.values)) return under;
  return createUserLabels(values);
}

/** Takes the map over, and drops its youngest entries beyond the limit. */
export function createUserLabels(values: Map<string, string>): UserLabels {
  if (values.size > MAX_LABELS) {
    const excess = [...values.keys()].slice(MAX_LABELS);
    for (const name of excess) values.delete(name);
    countDropped(excess.length);
  }
  return { values, alone: undefined };
}

/** The labels of a set, frozen: the user's own and, before those, the span's. */
export function labelsOfSet(set: LabelSet): Labels {
  return (set.labels ??= makeLabels(set.trace, set.user));
}

/** `value`, or as much of it as fits the limit, which then holds no part of `value` in memory. */
export function cutValue(value: string): string {
  // A UTF-16 unit takes at most three bytes.
  if (value.length * 3 <= MAX_LABEL_VALUE_BYTES) return value;
  const bytes = Buffer.allocUnsafe(MAX_LABEL_VALUE_BYTES);
  const { read, written } = encoder.encodeInto(value, bytes);
  if (read === value.length) return value;
  labelLosses.cutValues++;
  warnOnce('label-value', `a label value was cut to ${String(MAX_LABEL_VALUE_BYTES)} bytes`);
  // Not slice(): V8 makes that a reference to the whole.
  return bytes.toString('utf8', 0, written);
}

function makeLabels(trace: TraceLabels | undefined, user: UserLabels | undefined): Labels {
  if (user === undefined && trace !== undefined && hasAllLabels(trace)) {
    // As nearly always: a literal is an object of a known shape, several times as fast to make and
    // to read as one that is built up without a prototype.
    const { traceIdLabel, spanIdLabel, spanNameLabel } = trace;
    return Object.freeze({
      trace_id: traceIdLabel,
      span_id: spanIdLabel,
      span_name: spanNameLabel,
    });
  }
  const labels = Object.create(null) as Record<string, string>;
  if (trace !== undefined) {
    if (trace.traceIdLabel !== '') labels.trace_id = trace.traceIdLabel;
    if (trace.spanIdLabel !== '') labels.span_id = trace.spanIdLabel;
    if (trace.spanNameLabel !== '') labels.span_name = trace.spanNameLabel;
  }
  if (user !== undefined) {
    let room = MAX_LABELS - Object.keys(labels).length;
    for (const [name, value] of user.values) {
      if (room-- > 0) labels[name] = value;
      else countDropped(1);
    }
  }
  return Object.freeze(labels);
}

function hasAllLabels(trace: TraceLabels): boolean {
  return trace.traceIdLabel !== '' && trace.spanIdLabel !== '' && trace.spanNameLabel !== '';
}

function countDropped(count: number): void {
  labelLosses.droppedLabels += count;
  warnOnce(
    'label-count',
    `more than ${String(MAX_LABELS)} labels in force; the youngest were dropped`,
  );
}

function covers(over: ReadonlyMap<string, string>, under: ReadonlyMap<string, string>): boolean {
  for (const name of under.keys()) if (!over.has(name)) return false;
  return true;
}

function sameEntries(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  if (a.size !== b.size) return false;
  for (const [name, value] of a) if (b.get(name) !== value) return false;
  return true;
}
