/** A span processor that gives the spans of any SDK labels: for NodeSDK and registerOTel. */
import type { Context, Span } from '@opentelemetry/api';
import { patchedContextManager } from './context-manager-patch.js';
import {
  resolveLabelOptions,
  type LabelOptions,
  type ResolvedLabelOptions,
} from '../options/options.js';
import { hasResource, noteResource } from './resource.js';
import { onSpanStart } from './span-labels.js';

/** The SDK's span as a processor gets it. */
type StartedSpan = Span & { readonly name?: string };

/**
 * Does for the spans of an SDK what `TracerProvider` does for those of a wrapped provider. Used
 * with it or with `register`, a span is labelled once.
 *
 * An SDK shows its processors recording spans only: an unsampled span has no `span_name`.
 */
export class PyroscopeSpanProcessor {
  readonly #options: ResolvedLabelOptions;

  /** Throws a TypeError where an option is unknown or wrong; see `LabelOptions` for the defaults. */
  constructor(options?: LabelOptions) {
    this.#options = resolveLabelOptions(options);
    patchedContextManager();
  }

  onStart(span: StartedSpan, parentContext: Context): void {
    patchedContextManager();
    if (!hasResource()) noteResource(span);
    onSpanStart(span, parentContext, span.name ?? '', this.#options);
  }

  /** The labels went out of force in the span's own `end`. */
  onEnd(): void {
    // Nothing is left to do.
  }

  forceFlush(): Promise<void> {
    return Promise.resolve();
  }

  shutdown(): Promise<void> {
    return Promise.resolve();
  }
}
