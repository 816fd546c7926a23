/** A tracer provider whose spans label the CPU samples taken while they are active. */
import type {
  Context,
  Span,
  SpanOptions,
  Tracer,
  TracerOptions,
  TracerProvider as ApiTracerProvider,
} from '@opentelemetry/api';
import { patchedContextManager } from './context-manager-patch.js';
import {
  resolveLabelOptions,
  type LabelOptions,
  type ResolvedLabelOptions,
} from '../options/options.js';
import { passThrough } from './forwarding-proxy.js';
import { registerWrapper } from './register-wrapper.js';
import { noteResource } from './resource.js';
import { onSpanStart, SPAN_KEY } from './span-labels.js';

/** The label options of a provider, and whether its spans are labelled. */
export interface Labelling {
  readonly options: ResolvedLabelOptions;
  enabled: boolean;
}

let disable: (provider: TracerProvider) => void;

/** Wraps a tracer provider; documented and typed for users in `typed-tracer-provider.ts`. */
export class TracerProvider implements ApiTracerProvider {
  readonly #inner: ApiTracerProvider;
  readonly #labelling: Labelling;
  readonly #tracers = new WeakMap<Tracer, Tracer>();

  /** Throws a TypeError where `tp` has no `getTracer`, and where an option is unknown or wrong. */
  constructor(tp: ApiTracerProvider, options?: LabelOptions) {
    const candidate: unknown = tp;
    if (typeof candidate !== 'object' || candidate === null || typeof tp.getTracer !== 'function') {
      throw new TypeError('tp must be a tracer provider: an object with getTracer()');
    }
    this.#labelling = { options: resolveLabelOptions(options), enabled: true };
    this.#inner = tp;
    noteResource(tp);
    const own = new.target.prototype as object;
    const register = (...args: unknown[]): unknown => registerWrapper(this, tp, args);
    Object.setPrototypeOf(this, passThrough(tp, { own, replaced: { register } }));
    patchedContextManager();
  }

  /** Returns a tracer of the wrapped provider; the same wrapper for the same tracer. */
  getTracer(name: string, version?: string, options?: TracerOptions): Tracer {
    const inner = this.#inner.getTracer(name, version, options);
    let tracer = this.#tracers.get(inner);
    if (tracer === undefined) {
      tracer = labellingTracer(inner, this.#labelling);
      this.#tracers.set(inner, tracer);
    }
    return tracer;
  }

  static {
    disable = (provider) => {
      provider.#labelling.enabled = false;
    };
  }
}

/** Ends the labelling of spans that this wrapper's tracers start, also existing tracers. */
export function stopLabelling(provider: TracerProvider): void {
  disable(provider);
}

/** Returns a tracer that starts spans of `inner` and labels them before they can become active. */
function labellingTracer(inner: Tracer, labelling: Labelling): Tracer {
  function startSpan(name: string, spanOptions?: SpanOptions, context?: Context): Span {
    const span = inner.startSpan(name, spanOptions, context);
    const manager = patchedContextManager();
    if (labelling.enabled) onSpanStart(span, context ?? manager?.active(), name, labelling.options);
    return span;
  }

  // Not the inner tracer's method, which would start the span on itself. It does what that of every
  // SDK does, without a copy of the api, which might refuse the globals of a newer one.
  function startActiveSpan(name: string, arg2: unknown, arg3?: unknown, arg4?: unknown): unknown {
    const count = arguments.length;
    if (count < 2) return undefined;
    const fn = (count === 2 ? arg2 : count === 3 ? arg3 : arg4) as (span: Span) => unknown;
    const spanOptions = count === 2 ? undefined : (arg2 as SpanOptions | undefined);
    const given = count > 3 ? (arg3 as Context | undefined) : undefined;

    const manager = patchedContextManager();
    const parent = given ?? manager?.active();
    const span = inner.startSpan(name, spanOptions, parent);
    if (labelling.enabled) onSpanStart(span, parent, name, labelling.options);
    if (manager === undefined || parent === undefined) return fn(span);
    return manager.with(parent.setValue(SPAN_KEY, span), fn, undefined, span);
  }

  const methods = { startSpan, startActiveSpan };
  const tracer = Object.create(passThrough(inner, { replaced: methods })) as Tracer;
  // Own properties as well: calling a method behind the proxy costs more. Tools replace, restore and
  // delete them, as they do with those of the tracer inside.
  for (const [name, value] of Object.entries(methods)) {
    Object.defineProperty(tracer, name, { value, writable: true, configurable: true });
  }
  return tracer;
}
