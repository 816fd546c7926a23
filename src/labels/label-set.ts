/** Label sets: the labels that a span and `withLabels` contribute, and the object made of them. */
import { warnOnce } from '../util/diagnostics.js';
import type { Labels } from '../util/labels.js';
import type { ResolvedLabelOptions } from '../options/options.js';
import { labelLosses } from './label-values.js';
import { attributeLabelsOf, nameOf, type SpanDetails } from './span-details.js';

/** Current labels at most; the youngest of the user's own beyond that are dropped. */
export const MAX_LABELS = 32;

/** The labels of the spans of one local trace; '' where a label is not set. */
export interface TraceLabels {
  /** The trace id of the span that these labels were made for. */
  readonly traceId: string;
  /** The local root, to which ids refer: the trace's first labelled or first sampled span here. */
  readonly rootSpanId: string;
  readonly rootSampled: boolean;
  /** The trace's first labelled span in this process: its attributes may become labels. */
  readonly root: SpanDetails;
  readonly traceIdLabel: string;
  readonly spanIdLabel: string;
  /** The span whose name is the label `span_name`; undefined where that is not set. */
  readonly named: SpanDetails | undefined;
}

/** Labels of the user's own; immutable, shared by all sets that contain them. */
export interface UserLabels {
  /** Each once. */
  readonly names: readonly string[];
  /** The value of each name. */
  readonly values: readonly string[];
  /** The one set that contains these labels and no span's. */
  alone: LabelSet | undefined;
}

/**
 * Without private state: two copies of the package in a process work on each other's sets.
 */
export interface LabelSet {
  /** Id in the label table; 0 until the set first becomes current. See label-table.ts. */
  id: number;
  /** The span has ended or `withLabels` has returned; async contexts may still use the labels. */
  ended: boolean;
  readonly trace: TraceLabels | undefined;
  readonly user: UserLabels | undefined;
  /** The span's own set that this one was made from by adding the user's labels, or itself. */
  readonly base: LabelSet;
  /** The set that a span's `end()` makes current again; then undefined. */
  parent: LabelSet | undefined;
  /** The id of the span that owns this set; '' where no span does. */
  readonly owner: string;
  /** The options with which the set of a root span can be made again; undefined for other sets. */
  rootOptions: ResolvedLabelOptions | undefined;
  /** Number of sets in the chain of parents. */
  readonly depth: number;
  /** The last set made from this one for an async context with other labels of the user's own… */
  variant: LabelSet | undefined;
  /** …and the user's own labels in that async context. */
  variantFor: UserLabels | undefined;
  /** The labels as one object, as they were when they were last read. */
  labels: Labels | undefined;
  /** Whether the owner gets the attribute with its CPU time at its end. */
  reportsCpu: boolean;
  /** The set whose owner this set's CPU time counts for: the span in the label `span_id`. */
  cpuOwner: LabelSet;
  /** CPU time in nanoseconds of overwritten label table entries, of all sets with this `cpuOwner`. */
  cpuNanos: number;
  /** The last sets that became current and whose `cpuOwner` is this one; see label-table.ts. */
  cpuParts: LabelSet[] | undefined;
}

/**
 * One per labelled span, made by a class as `SetOfLabels` and `DetailsOfSpan` are: of what a literal
 * makes, V8 may come to allocate everything in the old space, because the first objects were still in
 * use at a collection (allocation site pretenuring). There each stays until the next full collection,
 * and keeps what it refers to: 1 to 3 µs of garbage collection a request.
 */
export class LabelsOfTrace implements TraceLabels {
  constructor(
    readonly traceId: string,
    readonly rootSpanId: string,
    readonly rootSampled: boolean,
    readonly root: SpanDetails,
    readonly traceIdLabel: string,
    readonly spanIdLabel: string,
    readonly named: SpanDetails | undefined,
  ) {}
}

class LabelsOfUser implements UserLabels {
  alone: LabelSet | undefined = undefined;

  constructor(
    readonly names: readonly string[],
    readonly values: readonly string[],
  ) {}
}

class SetOfLabels implements LabelSet {
  id = 0;
  ended = false;
  rootOptions: ResolvedLabelOptions | undefined = undefined;
  readonly base: LabelSet;
  readonly depth: number;
  variant: LabelSet | undefined = undefined;
  variantFor: UserLabels | undefined = undefined;
  labels: Labels | undefined = undefined;
  reportsCpu = false;
  cpuOwner: LabelSet;
  cpuNanos = 0;
  cpuParts: LabelSet[] | undefined = undefined;

  constructor(
    readonly trace: TraceLabels | undefined,
    readonly user: UserLabels | undefined,
    public parent: LabelSet | undefined,
    readonly owner: string,
    base: LabelSet | undefined,
  ) {
    this.depth = parent === undefined ? 0 : parent.depth + 1;
    this.base = base ?? this;
    this.cpuOwner = base?.cpuOwner ?? this;
  }
}

/**
 * Nested spans that have not ended keep their parents' sets alive: beyond this many the chain is
 * cut, and `end()` of the span there makes no parent's set current again.
 */
const MAX_PARENTS = 1_024;

/**
 * Makes a set of the span `owner`, whose end makes `parent` current again; or of no span, made from
 * `base` if that is given.
 */
export function createLabelSet(
  trace: TraceLabels | undefined,
  user: UserLabels | undefined,
  parent?: LabelSet,
  owner = '',
  base?: LabelSet,
): LabelSet {
  const chained = parent !== undefined && parent.depth < MAX_PARENTS ? parent : undefined;
  return new SetOfLabels(trace, user, chained, owner, base);
}

/** Returns the set with only these labels, or undefined if there are none. */
export function userOnly(user: UserLabels | undefined): LabelSet | undefined {
  if (user === undefined) return undefined;
  if (user.alone === undefined) {
    user.alone = createLabelSet(undefined, user);
    user.alone.ended = true;
  }
  return user.alone;
}

/** Returns a span's set with the user's own labels of an async context merged over its own. */
export function withUserLabels(set: LabelSet, user: UserLabels | undefined): LabelSet {
  if (user === undefined || user === set.user) return set;
  const last = set.variant;
  if (last !== undefined && (set.variantFor === user || last.user === user)) return last;
  const merged = mergeUserLabels(set.user, user);
  if (merged === set.user) return set;
  const variant = createLabelSet(set.trace, merged, undefined, '', set);
  // No owner ends a variant: it is counted with the span's own set.
  variant.ended = true;
  set.variant = variant;
  set.variantFor = user;
  return variant;
}

/** Returns `over` merged over `under`, and one of the two themselves if the result equals it. */
export function mergeUserLabels(
  under: UserLabels | undefined,
  over: UserLabels | undefined,
): UserLabels | undefined {
  if (over === undefined || under === over) return under;
  if (under === undefined) return over;
  if (hasAllNames(over, under)) return over;
  const names = [...under.names];
  const values = [...under.values];
  let isUnder = true;
  for (const [i, name] of over.names.entries()) {
    const value = over.values[i] as string;
    const found = names.indexOf(name);
    const at = found === -1 ? names.length : found;
    isUnder &&= values[at] === value;
    names[at] = name;
    values[at] = value;
  }
  return isUnder ? under : createUserLabels(names, values);
}

/** Not in `mergeUserLabels`: for a closure, V8 would allocate at each call, also for one without labels. */
function hasAllNames(over: UserLabels, under: UserLabels): boolean {
  return under.names.every((name) => over.names.includes(name));
}

/** The arrays must not change any more. The youngest labels beyond the limit are dropped. */
export function createUserLabels(names: readonly string[], values: readonly string[]): UserLabels {
  if (names.length <= MAX_LABELS) return new LabelsOfUser(names, values);
  countDropped(names.length - MAX_LABELS);
  return new LabelsOfUser(names.slice(0, MAX_LABELS), values.slice(0, MAX_LABELS));
}

/**
 * Returns the labels of a set as a frozen object: the span's, those from attributes, the user's own.
 * It is the same object as at the last call unless a span was renamed or an attribute set since.
 */
export function labelsOfSet(set: LabelSet): Labels {
  const { labels, trace } = set;
  if (labels !== undefined && (trace === undefined || areUpToDate(labels, set, trace))) {
    return labels;
  }
  return (set.labels = makeLabels(trace, set.user));
}

function areUpToDate(labels: Labels, { user }: LabelSet, { named, root }: TraceLabels): boolean {
  if (named !== undefined && labels.span_name !== nameOf(named)) return false;
  if (root.attributeNames.length === 0) return true;
  const attributes = attributeLabelsOf(root);
  return root.attributeNames.every(
    (name) => user?.names.includes(name) === true || labels[name] === attributes?.[name],
  );
}

function makeLabels(trace: TraceLabels | undefined, user: UserLabels | undefined): Labels {
  const attributes = trace === undefined ? undefined : attributeLabelsOf(trace.root);
  const name = trace?.named === undefined ? '' : nameOf(trace.named);
  if (
    user === undefined &&
    attributes === undefined &&
    trace !== undefined &&
    trace.traceIdLabel !== '' &&
    trace.spanIdLabel !== '' &&
    name !== ''
  ) {
    // Nearly always. A literal has a known shape: it is several times as fast to make and to read
    // as an object without a prototype that gets property after property.
    const { traceIdLabel, spanIdLabel } = trace;
    return Object.freeze({ trace_id: traceIdLabel, span_id: spanIdLabel, span_name: name });
  }
  const labels = Object.create(null) as Record<string, string>;
  if (trace !== undefined) {
    if (trace.traceIdLabel !== '') labels.trace_id = trace.traceIdLabel;
    if (trace.spanIdLabel !== '') labels.span_id = trace.spanIdLabel;
    if (name !== '') labels.span_name = name;
    Object.assign(labels, attributes);
  }
  if (user !== undefined) {
    let room = MAX_LABELS - Object.keys(labels).length;
    for (const [i, label] of user.names.entries()) {
      if (label in labels || room-- > 0) labels[label] = user.values[i] as string;
      else countDropped(1);
    }
  }
  return Object.freeze(labels);
}

function countDropped(count: number): void {
  labelLosses.droppedLabels += count;
  warnOnce(
    'label-count',
    `more than ${String(MAX_LABELS)} labels are current: the youngest were dropped`,
  );
}
