/** The label set of a span: made and attached to it at its start, no longer current at its end. */
import type { Context, Span, SpanContext, TimeInput } from '@opentelemetry/api';
import { activeLabels } from '../labels/active-labels.js';
import { warnOnce } from '../util/diagnostics.js';
import {
  CPU_TIME_ATTRIBUTE,
  hasProfileId,
  inheritsLabels,
  labelsOfSpan,
  PROFILE_ID_ATTRIBUTE,
} from './span-label-rules.js';
import {
  createLabelSet,
  mergeUserLabels,
  userOnly,
  withUserLabels,
  type LabelSet,
  type TraceLabels,
} from '../labels/label-set.js';
import { cutValue } from '../labels/label-values.js';
import { endSpanDetails, type ReadableSpan, type SpanDetails } from '../labels/span-details.js';
import type { ContextObject } from '../labels/probes.js';
import type { ResolvedLabelOptions } from '../options/options.js';
import { threadSingleton } from '../util/thread-singleton.js';

/** The keys under which every 1.x api keeps these in a context (they are `Symbol.for` keys). */
export const SPAN_KEY = Symbol.for('OpenTelemetry Context Key SPAN');
export const SUPPRESS_TRACING_KEY = Symbol.for('OpenTelemetry SDK Context Key SUPPRESS_TRACING');

/**
 * The span's property for its set: a WeakMap costs several times as much for every span. Only copies of
 * the package with the same `LabelSet` and label table share it: it has the version of `activeLabels`.
 */
const LABELS = Symbol.for('otelpyroscope.span-labels.v7');
/**
 * An ended root span has this property instead: the options, from which its set can be made again.
 * V8's collector copies what a span refers to as long as anything refers to the span: with the set,
 * that takes 0.6 µs more a request.
 */
const ENDED_ROOT_OPTIONS = Symbol.for('otelpyroscope.ended-root-options.v1');

type End = (endTime?: TimeInput) => void;

interface LabelledSpan extends Omit<Span, 'end'> {
  end: End;
  /** A property of the SDK's spans. */
  readonly kind?: number;
  [LABELS]?: LabelSet | undefined;
  [ENDED_ROOT_OPTIONS]?: ResolvedLabelOptions;
}

/** The last pair of `shared.endings`: all spans of one SDK have the same `end`. */
let lastEnd: End | undefined;
let lastEnding: End | undefined;

/** Options for spans that have begun before anything labelled them; undefined: they get no labels. */
let openSpanOptions: ResolvedLabelOptions | undefined;

/**
 * `SpanKind.SERVER`. Such a span ends when its response has been sent, in a listener that begins
 * nothing afterwards, and within which its context is active. To store that there are no labels, and
 * to undo it when the listener returns, would take 2.5 µs of each request.
 */
const SERVER = 1;

const INVALID_TRACE_ID = '00000000000000000000000000000000';

const shared = threadSingleton('span-labels.v7', () => ({
  /** Sets of spans that take no property… */
  ofFrozen: new WeakMap<object, LabelSet>(),
  /** …and whether there has been one; if not, the map is not read. */
  hasFrozen: false,
  /** `end` methods of spans → the methods that replace them on spans that own a set. */
  endings: new WeakMap<End, End>(),
}));

/**
 * Call this for every span of a labelled provider, before it can become active. A span that has a
 * set already (wrapped twice, wrapper and processor together) is not changed. Never throws.
 */
export function onSpanStart(
  span: Span,
  parentContext: Context | undefined,
  name: string,
  options: ResolvedLabelOptions,
): void {
  try {
    startLabels(span, parentContext, name, options);
  } catch (error) {
    warnOnce('span-start', 'labelling a span failed: it has no labels', error);
  }
}

/**
 * Labels spans that are open already, from now on until it is called without options: the first of
 * a trace in this process at its next activation or as a parent. Spans below others of them get no
 * labels, because their root is not known.
 */
export function labelOpenSpans(options: ResolvedLabelOptions | undefined): void {
  openSpanOptions = options;
}

/**
 * Returns the label set of a context in this async context, whose set is `current`; undefined for
 * no labels.
 *
 * With a span it is the span's set, and the user's own labels of this async context are merged over
 * those from the span's start. Without a span it has only the user's own. It is undefined where
 * tracing is suppressed: exporters run in the context of some request that started their timer.
 */
export function labelSetOf(context: Context, current: LabelSet | undefined): LabelSet | undefined {
  const span = context.getValue(SPAN_KEY) as LabelledSpan | undefined;
  if (context.getValue(SUPPRESS_TRACING_KEY) === true) return undefined;
  if (span === undefined || span === null) return outsideSpans(current);
  const spanSet = setOf(span) ?? inherited(span) ?? labelOpenSpan(span);
  if (spanSet === undefined) return outsideSpans(current);
  if (current === undefined || current.base === spanSet) return current ?? spanSet;
  return withUserLabels(spanSet, current.user);
}

/** Returns `current` without the labels of a span. */
function outsideSpans(current: LabelSet | undefined): LabelSet | undefined {
  if (current === undefined || current.trace === undefined) return current;
  return current.trace.traceId === '' ? current : userOnly(current.user);
}

function startLabels(
  span: LabelledSpan,
  parentContext: Context | undefined,
  name: string,
  options: ResolvedLabelOptions,
): void {
  if (setOf(span) !== undefined) return;
  const spanContext = span.spanContext();
  if (spanContext.traceId === INVALID_TRACE_ID) return;
  const carried = activeLabels.openSetOf(parentContext as ContextObject | undefined);
  const root = carried?.rootOptions === options ? carried.trace : undefined;
  if (carried !== undefined && root !== undefined && inheritsLabels(root, spanContext, options)) {
    attachLabels(span, carried);
  } else {
    startLabelsByRules(span, spanContext, parentContext, name, options);
  }
}

/** Labels a span that may have other labels than the set which its parent's context carries, or none. */
function startLabelsByRules(
  span: LabelledSpan,
  spanContext: SpanContext,
  parentContext: Context | undefined,
  name: string,
  options: ResolvedLabelOptions,
): void {
  const user = activeLabels.hasUserLabels ? activeLabels.current()?.user : undefined;
  let parent: LabelSet | undefined;
  if (parentContext !== undefined) {
    if (parentContext.getValue(SUPPRESS_TRACING_KEY) === true) return;
    const parentSpan = parentContext.getValue(SPAN_KEY) as LabelledSpan | undefined;
    if (parentSpan !== undefined && parentSpan !== null) {
      parent = setOf(parentSpan) ?? inherited(parentSpan) ?? labelOpenSpan(parentSpan);
      if (parent === undefined && hasUnknownRoot(parentSpan, spanContext.traceId)) return;
      // The span is of another trace than its parent: `root: true`, or the provider decided so.
      if (parent?.trace?.traceId !== spanContext.traceId) parent = undefined;
    }
  }
  const parentTrace = parent?.trace;
  // The name is cut because a set may outlive its span for long.
  const trace = labelsOfSpan(
    spanContext,
    cutValue(name),
    options,
    parentTrace,
    span as ReadableSpan,
  );
  if (trace === undefined) return;
  const merged = mergeUserLabels(parent?.user, user);
  if (parent !== undefined && trace === parentTrace && merged === parent.user) {
    attachLabels(span, parent);
  } else {
    const set = createLabelSet(trace, merged, parent, spanContext.spanId);
    // A span that gets its name later has no `span_name`; if its set were made again, it would.
    if (parent === undefined && name !== '') set.rootOptions = options;
    if (parent !== undefined && hasSameSpanId(trace, parent.trace)) set.cpuOwner = parent.cpuOwner;
    else if (options.cpuTimeAttribute) {
      set.reportsCpu = true;
      activeLabels.countCpuTime();
    }
    takeOwnership(span, set);
  }
  if (hasProfileId(spanContext, name, options, trace)) {
    span.setAttribute(PROFILE_ID_ATTRIBUTE, spanContext.spanId);
  }
}

/** Whether samples under both have the same span in `span_id`, or the same labels and no id. */
function hasSameSpanId(trace: TraceLabels, parent: TraceLabels | undefined): boolean {
  return (
    trace === parent || (trace.spanIdLabel !== '' && trace.spanIdLabel === parent?.spanIdLabel)
  );
}

function takeOwnership(span: LabelledSpan, set: LabelSet): void {
  attachLabels(span, set);
  const end = span.end;
  if (end !== lastEnd) {
    let ending = shared.endings.get(end);
    if (ending === undefined) {
      ending = endingOf(end);
      shared.endings.set(end, ending);
    }
    lastEnd = end;
    lastEnding = ending;
  }
  try {
    span.end = lastEnding as End;
  } catch {
    // A frozen span keeps its `end`: its labels stay current until its context is left.
  }
}

function endingOf(end: End): End {
  return function (this: LabelledSpan, ...args: Parameters<End>): void {
    setCpuTime(this);
    try {
      end.apply(this, args);
    } finally {
      onSpanEnd(this);
    }
  };
}

/** Sets the attribute with the CPU time of the span's samples, if it has any. Never throws. */
function setCpuTime(span: LabelledSpan): void {
  try {
    const set = setOf(span);
    if (set === undefined || set.ended || !set.reportsCpu) return;
    const nanos = activeLabels.cpuNanosOf(set);
    if (nanos > 0 && isOwner(span, set)) span.setAttribute(CPU_TIME_ATTRIBUTE, nanos / 1e6);
  } catch (error) {
    warnOnce('span-cpu-time', 'a span is without its CPU time', error);
  }
}

function isOwner(span: LabelledSpan, set: LabelSet): boolean {
  return set.owner === span.spanContext().spanId;
}

/**
 * Called when a span has ended. If the span owns the current set, its parent's becomes current in
 * this async context; others keep the span's. Never throws.
 */
export function onSpanEnd(span: LabelledSpan): void {
  try {
    const set = setOf(span);
    if (set === undefined || set.ended || !isOwner(span, set)) return;
    endDetails(span, set, set.trace?.root);
    endDetails(span, set, set.trace?.named);
    const currentId = activeLabels.currentId();
    const current = activeLabels.get(currentId);
    activeLabels.release(set);
    keepOptionsOnly(span, set);
    const parent = set.parent;
    set.parent = undefined;
    if (current === undefined || current.base !== set) return;
    const leavesNone = parent === undefined && current.user === undefined;
    if (leavesNone && span.kind === SERVER && activeLabels.endInCall(currentId)) return;
    activeLabels.enter(
      parent === undefined ? userOnly(current.user) : withUserLabels(parent, current.user),
    );
  } catch (error) {
    warnOnce(
      'span-end',
      'the end of a span did not restore the labels: those of the span stay current',
      error,
    );
  }
}

/** By the id: `end` may have been called on a proxy of the span that was labelled. */
function endDetails(span: LabelledSpan, set: LabelSet, details: SpanDetails | undefined): void {
  if (details?.spanId === set.owner) endSpanDetails(details, span as ReadableSpan);
}

/** Labels a span that was open before labels began. Undefined if it is not the first of its trace here. */
function labelOpenSpan(span: LabelledSpan): LabelSet | undefined {
  if (openSpanOptions === undefined || !span.isRecording() || !isLocalRoot(span)) return undefined;
  startLabels(span, undefined, (span as { name?: string }).name ?? '', openSpanOptions);
  return setOf(span);
}

/** Whether a span of OpenTelemetry's SDK has no parent, or one of another process. */
function isLocalRoot(span: object): boolean {
  const { parentSpanContext: parent } = span as { parentSpanContext?: { isRemote?: boolean } };
  if ('parentSpanContext' in span) return parent === undefined || parent.isRemote === true;
  // SDK 1.x does not tell parents of other processes apart.
  return 'parentSpanId' in span && span.parentSpanId === undefined;
}

function hasUnknownRoot(parent: LabelledSpan, traceId: string): boolean {
  if (openSpanOptions === undefined) return false;
  const context = parent.spanContext();
  return context.isRemote !== true && context.traceId === traceId;
}

function setOf(span: LabelledSpan): LabelSet | undefined {
  return (
    span[LABELS] ?? (shared.hasFrozen ? shared.ofFrozen.get(span) : undefined) ?? endedSetOf(span)
  );
}

/** Lets an ended span not refer to its set, if that can be made again with the same labels. */
function keepOptionsOnly(span: LabelledSpan, set: LabelSet): void {
  const { rootOptions, trace, user } = set;
  if (rootOptions === undefined || user !== undefined || span[LABELS] !== set) return;
  if (rootOptions.attributeLabels.length > 0) return;
  if ((span as ReadableSpan).name !== trace?.root.name) return;
  try {
    span[ENDED_ROOT_OPTIONS] = rootOptions;
    span[LABELS] = undefined;
  } catch {
    // It takes no property any more.
  }
}

/** Makes the set of an ended root span again, when its context becomes active or it gets a child. */
function endedSetOf(span: LabelledSpan): LabelSet | undefined {
  const options = span[ENDED_ROOT_OPTIONS];
  if (options === undefined) return undefined;
  const spanContext = span.spanContext();
  const { name } = span as ReadableSpan;
  const trace = labelsOfSpan(spanContext, name as string, options, undefined);
  const set = createLabelSet(trace, undefined, undefined, spanContext.spanId);
  set.ended = true;
  attachLabels(span, set);
  return set;
}

function attachLabels(span: LabelledSpan, set: LabelSet): void {
  try {
    span[LABELS] = set;
  } catch {
    shared.ofFrozen.set(span, set);
    shared.hasFrozen = true;
  }
}

/**
 * Returns the set that a span of an unwrapped provider inherits: the current one at the first call
 * for the span. Undefined for a remote span and one of another trace.
 */
function inherited(span: LabelledSpan): LabelSet | undefined {
  const current = activeLabels.current();
  if (current?.trace === undefined) return undefined;
  const spanContext = span.spanContext();
  if (spanContext.isRemote === true || spanContext.traceId !== current.trace.traceId) {
    return undefined;
  }
  attachLabels(span, current.base);
  return current.base;
}
