/** Wraps whatever global tracer provider the program registers, without loading a copy of the api. */
import type { TracerProvider as ApiTracerProvider } from '@opentelemetry/api';
import { OTEL_GLOBAL } from '../diagnostics.js';
import { TracerProvider } from '../tracer-provider.js';

interface Proxy {
  setDelegate?: (provider: ApiTracerProvider) => void;
}

/** To be called before the program: a provider that is registered already is not seen. */
export function followProvider(): void {
  // The first to register anything creates the registry, and then sets `trace` to a proxy.
  onSet(globalThis, OTEL_GLOBAL, (registry) => {
    onSet(registry, 'trace', (proxy) => wrapDelegates(proxy));
  });
}

function wrapDelegates(proxy: Proxy): void {
  const { setDelegate } = proxy;
  if (setDelegate === undefined || Object.hasOwn(proxy, 'setDelegate')) return;
  proxy.setDelegate = (provider) => {
    setDelegate.call(proxy, new TracerProvider(provider));
  };
}

/** Makes a property tell of every object that it is set to. It stays deletable, as the api needs. */
function onSet(holder: object, name: PropertyKey, tell: (value: object) => void): void {
  let current: unknown = Reflect.get(holder, name);
  Object.defineProperty(holder, name, {
    configurable: true,
    enumerable: true,
    get: () => current,
    set: (value: unknown) => {
      current = value;
      if (typeof value === 'object' && value !== null) tell(value);
    },
  });
}
