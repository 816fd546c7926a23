/** Notifies of globals that the OpenTelemetry api has registered or registers later. */
import { deliverHeldWarnings, OTEL_GLOBAL, warnOnce } from '../util/diagnostics.js';
import { threadSingleton } from '../util/thread-singleton.js';

/** The api's own proxy of all later providers, which it registers under "trace". */
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
 * Calls the listener with the object registered under "trace", now and each time that one is
 * registered again. Returns a function that removes the listener. No copy of the api is loaded: it
 * would refuse the globals of a newer one.
 */
export function onProviderProxy(listener: Listener): () => void {
  hooks.listeners.add(listener);
  const api = registeredApi();
  if (api === undefined) hookGlobal();
  else hookApi(api);
  if (api?.trace !== undefined) notify([listener], api.trace);
  return () => {
    hooks.listeners.delete(listener);
  };
}

/** Returns the provider behind the proxy, or undefined if none has been set. */
export function delegateOf(proxy: ProviderProxy): object | undefined {
  if (proxy.getDelegateTracer?.('otelpyroscope') === undefined) return undefined;
  return proxy.getDelegate?.();
}

/** Whether a context manager is registered, as OpenTelemetry's SDKs do when they start. */
export function hasContextManager(): boolean {
  return registeredContextManager() !== undefined;
}

/** Returns the registered context manager, of whatever class; undefined if there is none. */
export function registeredContextManager(): unknown {
  return registeredApi()?.context;
}

/** Returns the object that all copies of the api share; undefined before the first registration. */
export function registeredApi(): Api | undefined {
  return (globalThis as { [OTEL_GLOBAL]?: Api })[OTEL_GLOBAL];
}

/** Waits for the object that all copies of the api share: the first registration makes it. */
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
 * Puts setters for "trace" and "diag" on the prototype of the shared object. The api deletes its
 * entries (`trace.disable()`), which would delete own setters of the object as well.
 */
function hookApi(api: Api): void {
  if (hooks.hooked.has(api)) return;
  hooks.hooked.add(api);
  try {
    const prototype = Object.create(Object.getPrototypeOf(api) as object | null) as object;
    const define = (key: string, onSet: (value: unknown) => void): void => {
      Object.defineProperty(prototype, key, {
        configurable: true,
        get: () => undefined,
        set(this: object, value: unknown) {
          const entry = { configurable: true, enumerable: true, writable: true, value };
          Object.defineProperty(this, key, entry);
          onSet(value);
        },
      });
    };
    define('trace', (value) => {
      notify(hooks.listeners, value);
    });
    define('diag', () => {
      deliverHeldWarnings();
    });
    Object.setPrototypeOf(api, prototype);
  } catch (error) {
    warnOnce(
      'api-globals',
      'spans of tracer providers registered from now on have no labels',
      error,
    );
  }
}

function notify(listeners: Iterable<Listener>, value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  for (const listener of listeners) {
    try {
      listener(value);
    } catch (error) {
      warnOnce('provider', 'the spans of a tracer provider have no labels', error);
    }
  }
}
