/** The rules by which a span becomes labels and a profile id (pure). */
import { LabelsOfTrace, type TraceLabels } from '../labels/label-set.js';
import { createSpanDetails, type ReadableSpan } from '../labels/span-details.js';
import type { SpanContext } from '@opentelemetry/api';
import { Scope, type ResolvedLabelOptions } from '../options/options.js';

/** The span attribute with the span id under which a tracing backend finds the profile. */
export const PROFILE_ID_ATTRIBUTE = 'pyroscope.profile.id';

/** The span attribute with the CPU time of the samples under the span's labels, in milliseconds. */
export const CPU_TIME_ATTRIBUTE = 'pyroscope.cpu_time_ms';

const SAMPLED = 1;

/**
 * Returns the labels of a new span, whose `name` is no longer than a label may be. `parent` are the
 * labels of its local parent of the same trace, if any. Returns `parent` itself if the span changes
 * no label or no label applies to it: the span then inherits and does not become a root. The name
 * and the attributes in labels are read from `readable`, the span itself, until it ends.
 */
export function labelsOfSpan(
  span: SpanContext,
  name: string,
  options: ResolvedLabelOptions,
  parent: TraceLabels | undefined,
  readable?: ReadableSpan,
): TraceLabels | undefined {
  const sampled = (span.traceFlags & SAMPLED) !== 0;
  const setsTraceId = sampled && options.traceIdLabel;
  const setsSpanId = sampled && options.spanIdScope !== Scope.None;
  const setsSpanName = name !== '' && options.spanNameScope !== Scope.None;
  const setsAttributes = parent === undefined && sampled && options.attributeLabels.length > 0;
  if (!setsTraceId && !setsSpanId && !setsSpanName && !setsAttributes) return parent;

  if (parent === undefined) {
    const root = createSpanDetails(name, span.spanId, readable, options.attributeLabels);
    return new LabelsOfTrace(
      span.traceId,
      span.spanId,
      sampled,
      root,
      setsTraceId ? span.traceId : '',
      setsSpanId ? span.spanId : '',
      setsSpanName ? root : undefined,
    );
  }

  // An unsampled root has no ids to inherit: its first sampled descendant becomes their root.
  const becomesRoot = sampled && !parent.rootSampled;
  const rootSpanId = becomesRoot ? span.spanId : parent.rootSpanId;
  const traceIdLabel = setsTraceId ? span.traceId : parent.traceIdLabel;
  const spanIdLabel = setsSpanId
    ? options.spanIdScope === Scope.RootSpan
      ? rootSpanId
      : span.spanId
    : parent.spanIdLabel;
  let { named } = parent;
  if (setsSpanName && options.spanNameScope === Scope.AllSpans) {
    named = createSpanDetails(name, span.spanId, readable);
  } else if (setsSpanName && parent.root.name !== '') {
    named = parent.root;
  }
  if (
    !becomesRoot &&
    traceIdLabel === parent.traceIdLabel &&
    spanIdLabel === parent.spanIdLabel &&
    named === parent.named
  ) {
    return parent;
  }
  return new LabelsOfTrace(
    span.traceId,
    rootSpanId,
    sampled || parent.rootSampled,
    parent.root,
    traceIdLabel,
    spanIdLabel,
    named,
  );
}

/**
 * Whether a span below the local root with these labels has the same, if these options hold for both:
 * `labelsOfSpan` would return them. So it is with the default scopes.
 */
export function inheritsLabels(
  root: TraceLabels,
  span: SpanContext,
  options: ResolvedLabelOptions,
): boolean {
  return (
    root.traceId === span.traceId &&
    root.rootSampled &&
    options.spanIdScope !== Scope.AllSpans &&
    options.spanNameScope !== Scope.AllSpans
  );
}

/** Whether a span with these labels gets `pyroscope.profile.id`, with its own span id. */
export function hasProfileId(
  span: SpanContext,
  name: string,
  options: ResolvedLabelOptions,
  labels: TraceLabels,
): boolean {
  switch (options.spanIdScope) {
    case Scope.None:
      return false;
    case Scope.RootSpan:
      return labels.rootSpanId === span.spanId;
    case Scope.AllSpans:
      return (
        (span.traceFlags & SAMPLED) !== 0 || (name !== '' && options.spanNameScope !== Scope.None)
      );
  }
}
