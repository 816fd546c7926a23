/** The label set of a span: made at its start, hung on it, and taken out of force at its end. */
import type { Context, Span, TimeInput } from '@opentelemetry/api';
import { activeLabels } from '../labels/active-labels.js';
import { warnOnce } from '../util/diagnostics.js';
import { hasProfileId, labelsOfSpan, PROFILE_ID_ATTRIBUTE } from './span-label-rules.js';
import {
  createLabelSet,
  cutValue,
  inFlow,
  mergeUserLabels,
  userOnly,
  type LabelSet,
} from '../labels/label-set.js';
import type { ResolvedLabelOptions } from '../options/options.js';
import { threadSingleton } from '../util/thread-singleton.js';

/** The keys under which every 1.x api keeps these in a context (they are `Symbol.for` keys). */
export const SPAN_KEY = Symbol.for('OpenTelemetry Context Key SPAN');
export const SUPPRESS_TRACING_KEY = Symbol.for('OpenTelemetry SDK Context Key SUPPRESS_TRACING');

/** The set hangs on the span itself: a WeakMap costs several times as much for every span. */
const LABELS = Symbol.for('otelpyroscope.span-labels.v1');

type End = (endTime?: TimeInput) => void;

interface LabelledSpan extends Omit<Span, 'end'> {
  end: End;
  [LABELS]?: LabelSet;
}

/** The last pair of `endings`: spans of one SDK have all the same. */
let lastEnd: End | undefined;
let lastEnding: End | undefined;

const INVALID_TRACE_ID = '00000000000000000000000000000000';

const shared = threadSingleton('span-labels.v2', () => ({
  /** The sets of spans that take no property… */
  ofFrozen: new WeakMap<object, LabelSet>(),
  /** …and whether there ever was one; else they are not looked for. */
  hasFrozen: false,
  /** `end` methods of spans, and what stands in their place on spans that own a set. */
  endings: new WeakMap<End, End>(),
}));

/**
 * To be called for every span of a labelled provider, before it can become active. A span that
 * has a set already (wrapped twice, wrapper and processor together) is left alone. Never throws.
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
    warnOnce('span-start', 'a span is without labels', error);
  }
}

/**
 * The set that a context calls for in this flow; undefined for no labels.
 *
 * A span's set, with the user's own labels of this flow over those that were in force when the
 * span was started. Without a span only the user's own. Suppressed tracing has none: exporters
 * work in a context that some request happened to arm.
 */
export function labelSetOf(context: Context, current: LabelSet | undefined): LabelSet | undefined {
  const span = context.getValue(SPAN_KEY) as LabelledSpan | undefined;
  if (context.getValue(SUPPRESS_TRACING_KEY) === true) return undefined;
  if (span === undefined || span === null) return outsideSpans(current);
  const own = setOf(span) ?? inherited(span, current);
  if (own === undefined) return outsideSpans(current);
  if (current === undefined || current.base === own) return current ?? own;
  return inFlow(own, current.user);
}

/** What remains of the labels in force where no span is active. */
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
  const current = activeLabels.current();
  let parent: LabelSet | undefined;
  if (parentContext !== undefined) {
    if (parentContext.getValue(SUPPRESS_TRACING_KEY) === true) return;
    const parentSpan = parentContext.getValue(SPAN_KEY) as LabelledSpan | undefined;
    if (parentSpan !== undefined && parentSpan !== null) {
      parent = setOf(parentSpan) ?? inherited(parentSpan, current);
      // Another trace than the parent's: `root: true`, or the provider's own decision.
      if (parent?.trace?.traceId !== spanContext.traceId) parent = undefined;
    }
  }
  const parentTrace = parent?.trace;
  // What a set holds may outlive the span for long.
  const trace = labelsOfSpan(spanContext, cutValue(name), options, parentTrace);
  if (trace === undefined) return;
  const user = mergeUserLabels(parent?.user, current?.user);
  if (parent !== undefined && trace === parentTrace && user === parent.user) {
    hang(span, parent);
  } else {
    own(span, createLabelSet(trace, user, parent, spanContext.spanId));
  }
  if (hasProfileId(spanContext, name, options, trace)) {
    span.setAttribute(PROFILE_ID_ATTRIBUTE, spanContext.spanId);
  }
}

function own(span: LabelledSpan, set: LabelSet): void {
  hang(span, set);
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
    // A frozen span keeps its own: its labels then stay in force until its context is left.
  }
}

function endingOf(end: End): End {
  return function (this: LabelledSpan, ...args: Parameters<End>): void {
    try {
      end.apply(this, args);
    } finally {
      onSpanEnd(this);
    }
  };
}

/**
 * To be called when a span has ended: in this flow its parent's labels come back into force, if
 * the span had labels of its own. Other flows keep them. Never throws.
 */
export function onSpanEnd(span: LabelledSpan): void {
  try {
    const set = setOf(span);
    if (set === undefined || set.ended || set.owner !== span.spanContext().spanId) return;
    const current = activeLabels.current();
    activeLabels.release(set);
    const parent = set.parent;
    set.parent = undefined;
    if (current === undefined || current.base !== set) return;
    activeLabels.enter(
      parent === undefined ? userOnly(current.user) : inFlow(parent, current.user),
    );
  } catch (error) {
    warnOnce('span-end', 'the labels of an ended span stay in force', error);
  }
}

function setOf(span: LabelledSpan): LabelSet | undefined {
  return span[LABELS] ?? (shared.hasFrozen ? shared.ofFrozen.get(span) : undefined);
}

function hang(span: LabelledSpan, set: LabelSet): void {
  try {
    span[LABELS] = set;
  } catch {
    shared.ofFrozen.set(span, set);
    shared.hasFrozen = true;
  }
}

/**
 * What a span of a provider that is not wrapped inherits: the set in force where it is first met,
 * if it is of the same trace. Undefined for a remote span or one of another trace.
 */
function inherited(span: LabelledSpan, current: LabelSet | undefined): LabelSet | undefined {
  if (current?.trace === undefined) return undefined;
  const spanContext = span.spanContext();
  if (spanContext.isRemote === true || spanContext.traceId !== current.trace.traceId) {
    return undefined;
  }
  hang(span, current.base);
  return current.base;
}
