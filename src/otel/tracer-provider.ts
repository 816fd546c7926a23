/** A tracer provider whose spans label the CPU that they use. */
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
import { noteResource } from './resource.js';
import { onSpanStart, SPAN_KEY } from './span-labels.js';

/** How the spans of a provider become labels, and whether they do. */
export interface Labelling {
  readonly options: ResolvedLabelOptions;
  on: boolean;
}

/** `register` names the provider to register by its `this`: labels need that to be the wrapper. */
const CALLED_ON_WRAPPER: ReadonlySet<PropertyKey> = new Set(['register']);

let switchOff: (provider: TracerProvider) => void;

/**
 * Wraps a tracer provider: its spans give their trace id, span id and name to the CPU samples
 * taken while they are active, and get the attribute `pyroscope.profile.id`.
 *
 * Everything but `getTracer` and `register` passes through to the wrapped provider (forceFlush,
 * shutdown, …). `register` registers the wrapper.
 */
export class TracerProvider implements ApiTracerProvider {
  readonly #inner: ApiTracerProvider;
  readonly #labelling: Labelling;
  readonly #tracers = new WeakMap<Tracer, Tracer>();

  /**
   * Throws a TypeError where `tp` has no `getTracer`, and where an option is unknown or wrong;
   * see `LabelOptions` for the defaults.
   */
  constructor(tp: ApiTracerProvider, options?: LabelOptions) {
    const candidate: unknown = tp;
    if (typeof candidate !== 'object' || candidate === null || typeof tp.getTracer !== 'function') {
      throw new TypeError('tp must be a tracer provider: an object with getTracer()');
    }
    this.#labelling = { options: resolveLabelOptions(options), on: true };
    this.#inner = tp;
    noteResource(tp);
    const own = new.target.prototype as object;
    Object.setPrototypeOf(this, passThrough(tp, own, CALLED_ON_WRAPPER));
    patchedContextManager();
  }

  /** A tracer of the wrapped provider; the same wrapper for the same tracer. */
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
    switchOff = (provider) => {
      provider.#labelling.on = false;
    };
  }
}

/** Spans of this wrapper's tracers, those handed out included, label nothing from now on. */
export function stopLabelling(provider: TracerProvider): void {
  switchOff(provider);
}

/** Starts the spans of `inner`, and gives them labels before they can become active. */
function labellingTracer(inner: Tracer, labelling: Labelling): Tracer {
  function startSpan(name: string, spanOptions?: SpanOptions, context?: Context): Span {
    const span = inner.startSpan(name, spanOptions, context);
    const manager = patchedContextManager();
    if (labelling.on) onSpanStart(span, context ?? manager?.active(), name, labelling.options);
    return span;
  }

  // Not the inner tracer's, which would start the span on itself. Like that of every SDK
  // otherwise, and without going through a copy of the api that may refuse a newer one's globals.
  function startActiveSpan(name: string, arg2: unknown, arg3?: unknown, arg4?: unknown): unknown {
    const count = arguments.length;
    if (count < 2) return undefined;
    const fn = (count === 2 ? arg2 : count === 3 ? arg3 : arg4) as (span: Span) => unknown;
    const spanOptions = count === 2 ? undefined : (arg2 as SpanOptions | undefined);
    const given = count > 3 ? (arg3 as Context | undefined) : undefined;

    const manager = patchedContextManager();
    const parent = given ?? manager?.active();
    const span = inner.startSpan(name, spanOptions, parent);
    if (labelling.on) onSpanStart(span, parent, name, labelling.options);
    if (manager === undefined || parent === undefined) return fn(span);
    return manager.with(parent.setValue(SPAN_KEY, span), fn, undefined, span);
  }

  const tracer = Object.create(passThrough(inner)) as Tracer;
  // Own properties: every call of a method found behind the proxy would pay for it.
  Object.defineProperty(tracer, 'startSpan', { value: startSpan, writable: true });
  Object.defineProperty(tracer, 'startActiveSpan', { value: startActiveSpan, writable: true });
  return tracer;
}
