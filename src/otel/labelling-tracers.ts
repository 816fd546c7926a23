/** Labels for the spans of tracers that an SDK has made, by their own `startSpan`. */
import type { Context, Span, SpanOptions } from '@opentelemetry/api';
import type { ResolvedLabelOptions } from '../options/options.js';
import { patchedContextManager } from './context-manager-patch.js';
import { onSpanStart } from './span-labels.js';

/** A tracer of an SDK: its `startActiveSpan` calls its `startSpan`. */
export interface SdkTracer {
  startSpan: (name: string, options?: SpanOptions, context?: Context) => Span;
}

/** Returns the tracers that a provider of an SDK has made so far; none of another provider. */
export function tracersOf(provider: object): SdkTracer[] {
  const tracers = (provider as { _tracers?: unknown })._tracers;
  return tracers instanceof Map ? [...(tracers.values() as Iterable<SdkTracer>)] : [];
}

/** Returns a `startSpan` that labels spans while `optionsNow` returns options. */
export function labellingStartSpan(
  { startSpan }: SdkTracer,
  optionsNow: () => ResolvedLabelOptions | undefined,
): SdkTracer['startSpan'] {
  return function (this: SdkTracer, name, spanOptions, context) {
    const span = startSpan.call(this, name, spanOptions, context);
    const options = optionsNow();
    if (options !== undefined) {
      onSpanStart(span, context ?? patchedContextManager()?.active(), name, options);
    }
    return span;
  };
}
