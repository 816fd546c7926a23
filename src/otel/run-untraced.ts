/** Runs the package's own work without the application's labels, spans and storages. */
import { AsyncResource } from 'node:async_hooks';
import type { Context } from '@opentelemetry/api';
import { activeLabels } from '../labels/active-labels.js';
import { registeredContextManager } from './api-globals.js';
import { SPAN_KEY, SUPPRESS_TRACING_KEY } from './span-labels.js';

interface Manager {
  active(): Context;
  with<T>(context: Context, fn: () => T): T;
}

/** The async context in which the package was loaded: usually that of no request. */
const loadTimeResource = new AsyncResource('otelpyroscope');

/**
 * Calls `fn`. It and all asynchronous work that it starts belong to no request: they have no labels
 * and no active span of the application and no stores of its AsyncLocalStorages. Tracing is
 * suppressed as by `suppressTracing` of @opentelemetry/core, so that uploads make no spans.
 */
export function asOwnWork<T>(fn: () => T): T {
  return loadTimeResource.runInAsyncScope(
    () => activeLabels.run(undefined, suppressed, undefined, [fn]) as T,
  );
}

function suppressed(fn: () => unknown): unknown {
  const manager = registeredContextManager() as Manager | undefined;
  if (manager === undefined) return fn();
  const context = manager.active().deleteValue(SPAN_KEY).setValue(SUPPRESS_TRACING_KEY, true);
  return manager.with(context, fn);
}
