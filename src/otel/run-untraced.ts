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

/** An async context of no request: the package may be loaded within one, by the inspector. */
const ownResource = makeOwnResource();

/**
 * Calls `fn`. It and all asynchronous work that it starts belong to no request: they have no labels
 * and no active span of the application and no stores of its AsyncLocalStorages. Tracing is
 * suppressed as by `suppressTracing` of @opentelemetry/core, so that uploads make no spans.
 */
export function asOwnWork<T>(fn: () => T): T {
  return ownResource.runInAsyncScope(() =>
    activeLabels.run(undefined, suppressed, undefined, [fn]),
  );
}

function suppressed<T>(fn: () => T): T {
  const manager = registeredContextManager() as Manager | undefined;
  if (manager === undefined) return fn();
  const context = manager.active().deleteValue(SPAN_KEY).setValue(SUPPRESS_TRACING_KEY, true);
  return manager.with(context, fn);
}

function makeOwnResource(): AsyncResource {
  const make = (): AsyncResource => new AsyncResource('otelpyroscope');
  try {
    return suppressed(make);
  } catch {
    // A context manager of another kind.
    return make();
  }
}
