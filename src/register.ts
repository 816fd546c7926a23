/** `register`: labels on whatever tracer provider is the global one, now or later. */
import type {
  Context,
  Span,
  SpanOptions,
  TracerProvider as ApiTracerProvider,
} from '@opentelemetry/api';
import { onProviderProxy, type ProviderProxy } from './api-globals.js';
import { patchedContextManager } from './context-patch.js';
import { warn } from './diagnostics.js';
import { resolveLabelOptions, type LabelOptions, type ResolvedLabelOptions } from './options.js';
import { onSpanStart } from './span-labels.js';
import { stopLabelling, TracerProvider } from './tracer-provider.js';

interface SdkTracer {
  startSpan: (name: string, options?: SpanOptions, context?: Context) => Span;
}

/**
 * Wraps the global tracer provider, and each that becomes the global one, as `new TracerProvider`
 * would. Tracers that the SDK has handed out before are labelled too. Returns what undoes it.
 *
 * Throws a TypeError where an option is unknown or wrong; see `LabelOptions` for the defaults.
 * Where it is called twice, the options of the first call hold.
 */
export function register(options?: LabelOptions): () => void {
  const registration = new Registration(options);
  return () => {
    registration.undo();
  };
}

class Registration {
  readonly #options: LabelOptions | undefined;
  readonly #resolved: ResolvedLabelOptions;
  readonly #wrappers = new Map<object, TracerProvider>();
  readonly #undo: (() => void)[] = [];
  #on = true;

  constructor(options: LabelOptions | undefined) {
    this.#resolved = resolveLabelOptions(options);
    this.#options = options;
    this.#undo.push(
      onProviderProxy((proxy) => {
        this.#attach(proxy);
      }),
    );
    patchedContextManager();
  }

  undo(): void {
    this.#on = false;
    for (const wrapper of this.#wrappers.values()) stopLabelling(wrapper);
    for (const step of this.#undo.splice(0).reverse()) step();
    this.#wrappers.clear();
  }

  #attach(proxy: ProviderProxy): void {
    const { setDelegate } = proxy;
    if (typeof setDelegate !== 'function') {
      warn('the global tracer provider is not the one of @opentelemetry/api: it has no labels');
      return;
    }
    const own = Object.getOwnPropertyDescriptor(proxy, 'setDelegate');
    proxy.setDelegate = (delegate) => {
      setDelegate.call(proxy, this.#on ? this.#wrap(delegate) : delegate);
    };
    this.#undo.push(() => {
      if (own === undefined) delete proxy.setDelegate;
      else Object.defineProperty(proxy, 'setDelegate', own);
      const delegate = delegateOf(proxy);
      for (const [inner, wrapper] of this.#wrappers) {
        if (wrapper === delegate) setDelegate.call(proxy, inner);
      }
    });
    const delegate = delegateOf(proxy);
    if (delegate === undefined) return;
    proxy.setDelegate(delegate);
    this.#adoptTracers(delegate);
  }

  #wrap(delegate: object): object {
    if (delegate instanceof TracerProvider) return delegate;
    const known = this.#wrappers.get(delegate);
    if (known !== undefined) return known;
    try {
      const wrapper = new TracerProvider(delegate as ApiTracerProvider, this.#options);
      this.#wrappers.set(delegate, wrapper);
      return wrapper;
    } catch (error) {
      warn('the spans of the global tracer provider have no labels', error);
      return delegate;
    }
  }

  /** What instrumentations have got from the SDK before never asks the wrapper. */
  #adoptTracers(delegate: object): void {
    const tracers = (delegate as { _tracers?: unknown })._tracers;
    if (!(tracers instanceof Map)) return;
    for (const tracer of tracers.values() as Iterable<SdkTracer>) {
      const { startSpan } = tracer;
      const options = this.#resolved;
      // The SDK's startActiveSpan calls this as well.
      tracer.startSpan = function (name, spanOptions, context) {
        const span = startSpan.call(this, name, spanOptions, context);
        onSpanStart(span, context ?? patchedContextManager()?.active(), name, options);
        return span;
      };
      this.#undo.push(() => {
        delete (tracer as Partial<SdkTracer>).startSpan;
      });
    }
  }
}

/** The provider behind the proxy; undefined where none has been set. */
function delegateOf(proxy: ProviderProxy): object | undefined {
  if (proxy.getDelegateTracer?.('otelpyroscope') === undefined) return undefined;
  return proxy.getDelegate?.();
}
