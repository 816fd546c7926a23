/** The public type of `TracerProvider`: its instances have the methods of the provider that they wrap. */
import type { TracerProvider as ApiTracerProvider } from '@opentelemetry/api';
import type { LabelOptions } from '../options/options.js';
import { TracerProvider as Wrapper } from './tracer-provider.js';

/** A wrapped tracer provider; see the class of that name. */
export type TracerProvider = Wrapper;

/** The class `TracerProvider`. TypeScript has no class whose instances are of an intersection type. */
export interface TracerProviderConstructor {
  /**
   * Throws a TypeError where `tp` has no `getTracer`, and where an option is unknown or wrong;
   * see `LabelOptions` for the defaults.
   */
  new <P extends ApiTracerProvider = ApiTracerProvider>(
    tp: P,
    options?: LabelOptions,
  ): TracerProvider & P;
  /** For `instanceof`. */
  readonly prototype: TracerProvider;
}

/**
 * Wraps a tracer provider. CPU samples taken while one of its spans is active carry the span's
 * trace id, span id and name, and the span gets the attribute `pyroscope.profile.id`.
 *
 * Everything but `getTracer` and `register` passes through to the wrapped provider (forceFlush,
 * shutdown, …). `register` registers the wrapper. It is no `instanceof` the wrapped provider's class.
 */
export const TracerProvider = Wrapper as TracerProviderConstructor;
