/** A span processor that labels the spans of any SDK: for NodeSDK and registerOTel. */
import type { Context, Span } from '@opentelemetry/api';
import { patchedContextManager } from './context-manager-patch.js';
import {
  resolveLabelOptions,
  type LabelOptions,
  type ResolvedLabelOptions,
} from '../options/options.js';
import { hasResource, noteResource } from './resource.js';
import { onSpanStart } from './span-labels.js';

/** The SDK's span, as `onStart` of a processor gets it. */
type StartedSpan = Span & { readonly name?: string };

/**
 * Labels the spans of an SDK as `TracerProvider` labels those of a wrapped provider. If both are
 * used, or this and `register`, a span is labelled once.
 *
 * An SDK passes only recording spans to its processors: an unsampled span has no `span_name`.
 */
export class PyroscopeSpanProcessor {
  readonly #options: ResolvedLabelOptions;

  /** Throws a TypeError if an option is unknown or wrong; see `LabelOptions` for the defaults. */
  constructor(options?: LabelOptions) {
    this.#options = resolveLabelOptions(options);
    patchedContextManager();
  }

  onStart(span: StartedSpan, parentContext: Context): void {
    patchedContextManager();
    if (!hasResource()) noteResource(span);
    onSpanStart(span, parentContext, span.name ?? '', this.#options);
  }

  onEnd(): void {
    // The span's own `end` has restored the labels.
  }

  forceFlush(): Promise<void> {
    return Promise.resolve();
  }

  shutdown(): Promise<void> {
    return Promise.resolve();
  }
}
