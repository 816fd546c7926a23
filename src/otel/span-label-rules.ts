/** The rules by which a span becomes labels and a profile id (pure). */
import type { TraceLabels } from '../labels/label-set.js';
import type { SpanContext } from '@opentelemetry/api';
import { Scope, type ResolvedLabelOptions } from '../options/options.js';

/** The span attribute with the span id under which a tracing backend finds the profile. */
export const PROFILE_ID_ATTRIBUTE = 'pyroscope.profile.id';

const SAMPLED = 1;

/**
 * Returns the labels of a new span, whose `name` is no longer than a label may be. `parent` are the
 * labels of its local parent of the same trace, if any. Returns `parent` itself if the span changes
 * no label or no label applies to it: the span then inherits and does not become a root.
 */
export function labelsOfSpan(
  span: SpanContext,
  name: string,
  options: ResolvedLabelOptions,
  parent: TraceLabels | undefined,
): TraceLabels | undefined {
  const sampled = (span.traceFlags & SAMPLED) !== 0;
  const setsTraceId = sampled && options.traceIdLabel;
  const setsSpanId = sampled && options.spanIdScope !== Scope.None;
  const setsSpanName = name !== '' && options.spanNameScope !== Scope.None;
  if (!setsTraceId && !setsSpanId && !setsSpanName) return parent;

  if (parent === undefined) {
    return {
      traceId: span.traceId,
      rootSpanId: span.spanId,
      rootSampled: sampled,
      rootName: name,
      traceIdLabel: setsTraceId ? span.traceId : '',
      spanIdLabel: setsSpanId ? span.spanId : '',
      spanNameLabel: setsSpanName ? name : '',
    };
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
  const ownName = options.spanNameScope === Scope.RootSpan ? parent.rootName : name;
  const spanNameLabel = setsSpanName && ownName !== '' ? ownName : parent.spanNameLabel;
  if (
    !becomesRoot &&
    traceIdLabel === parent.traceIdLabel &&
    spanIdLabel === parent.spanIdLabel &&
    spanNameLabel === parent.spanNameLabel
  ) {
    return parent;
  }
  return {
    traceId: span.traceId,
    rootSpanId,
    rootSampled: sampled || parent.rootSampled,
    rootName: parent.rootName,
    traceIdLabel,
    spanIdLabel,
    spanNameLabel,
  };
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
