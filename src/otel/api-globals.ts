/** Tells when the OpenTelemetry api's globals are registered: those that are, and those to come. */
import { deliverHeldWarnings, OTEL_GLOBAL, warnOnce } from '../util/diagnostics.js';
import { threadSingleton } from '../util/thread-singleton.js';

/** What `@opentelemetry/api` registers under "trace": its own proxy, for all providers to come. */
export interface ProviderProxy {
  setDelegate?: (this: ProviderProxy, delegate: object) => void;
  getDelegate?: () => object;
  getDelegateTracer?: (name: string) => object | undefined;
}

type Listener = (proxy: ProviderProxy) => void;
type Api = Record<string, unknown>;

const hooks = threadSingleton('api-globals.v1', () => ({
  listeners: new Set<Listener>(),
  hooked: new WeakSet<object>(),
}));

/**
 * Calls the listener with what is registered for "trace", now and each time that it is registered
 * again; returns what ends that. No copy of the api is loaded: it would refuse a newer one's
 * globals.
 */
export function onProviderProxy(listener: Listener): () => void {
  hooks.listeners.add(listener);
  const api = (globalThis as { [OTEL_GLOBAL]?: Api })[OTEL_GLOBAL];
  if (api === undefined) hookGlobal();
  else hookApi(api);
  if (api?.trace !== undefined) tell([listener], api.trace);
  return () => {
    hooks.listeners.delete(listener);
  };
}

/** The first registration of anything makes the object that all copies of the api share. */
function hookGlobal(): void {
  Object.defineProperty(globalThis, OTEL_GLOBAL, {
    configurable: true,
    get: () => undefined,
    set(value: Api) {
      Object.defineProperty(globalThis, OTEL_GLOBAL, {
        configurable: true,
        enumerable: true,
        writable: true,
        value,
      });
      hookApi(value);
    },
  });
}

/**
 * The setters stand on the prototype: the api deletes its entries (`trace.disable()`), which would
 * delete setters of the object's own as well.
 */
function hookApi(api: Api): void {
  if (hooks.hooked.has(api)) return;
  hooks.hooked.add(api);
  try {
    const prototype = Object.create(Object.getPrototypeOf(api) as object | null) as object;
    const define = (key: string, then: (value: unknown) => void): void => {
      Object.defineProperty(prototype, key, {
        configurable: true,
        get: () => undefined,
        set(this: object, value: unknown) {
          const entry = { configurable: true, enumerable: true, writable: true, value };
          Object.defineProperty(this, key, entry);
          then(value);
        },
      });
    };
    define('trace', (value) => {
      tell(hooks.listeners, value);
    });
    define('diag', () => {
      deliverHeldWarnings();
    });
    Object.setPrototypeOf(api, prototype);
  } catch (error) {
    warnOnce('api-globals', 'providers registered from now on are not seen', error);
  }
}

function tell(listeners: Iterable<Listener>, value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  for (const listener of listeners) {
    try {
      listener(value);
    } catch (error) {
      warnOnce('provider', 'the spans of a provider have no labels', error);
    }
  }
}
