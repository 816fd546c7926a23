/** Runs the package's own work apart from the application's: without its labels, spans and flows. */
import { AsyncResource } from 'node:async_hooks';
import type { Context } from '@opentelemetry/api';
import { activeLabels } from '../labels/active-labels.js';
import { OTEL_GLOBAL } from '../util/diagnostics.js';
import { SPAN_KEY, SUPPRESS_TRACING_KEY } from './span-labels.js';

interface Manager {
  active(): Context;
  with<T>(context: Context, fn: () => T): T;
}

/** The flow in which the package was loaded: no request's, as a rule. */
const loading = new AsyncResource('otelpyroscope');

/**
 * Calls `fn`. It and all that it starts belong to no request: they have none of the application's
 * labels, no active span and no entry of its AsyncLocalStorages, and tracing is suppressed as
 * `suppressTracing` of @opentelemetry/core does it, so that uploads make no spans.
 */
export function asOwnWork<T>(fn: () => T): T {
  return loading.runInAsyncScope(
    () => activeLabels.run(undefined, suppressed, undefined, [fn]) as T,
  );
}

function suppressed(fn: () => unknown): unknown {
  const api = (globalThis as { [OTEL_GLOBAL]?: { context?: Manager } })[OTEL_GLOBAL];
  const manager = api?.context;
  if (manager === undefined) return fn();
  const context = manager.active().deleteValue(SPAN_KEY).setValue(SUPPRESS_TRACING_KEY, true);
  return manager.with(context, fn);
}
