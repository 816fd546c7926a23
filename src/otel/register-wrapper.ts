/** `register()` of a provider, called through its wrapper: the wrapper becomes the global provider. */
import { registeredApi, type ProviderProxy } from './api-globals.js';

type Register = (...args: unknown[]) => unknown;

/**
 * Calls the `register` of `inner` with the wrapper as `this`, which is what it makes the global
 * provider. A `register` that reads private fields throws then: it is called on `inner`, whose place
 * the wrapper takes. Throws only what the provider alone throws as well.
 */
export function registerWrapper(wrapper: object, inner: object, args: unknown[]): unknown {
  const register = (inner as { register: Register }).register;
  try {
    return Reflect.apply(register, wrapper, args);
  } catch {
    const result: unknown = Reflect.apply(register, inner, args);
    replaceGlobal(inner, wrapper);
    return result;
  }
}

function replaceGlobal(inner: object, wrapper: object): void {
  const api: { trace?: ProviderProxy } | undefined = registeredApi();
  if (api === undefined) return;
  if (api.trace === inner) api.trace = wrapper;
  else if (isDelegate(api.trace, inner)) api.trace?.setDelegate?.(wrapper);
}

/** Whether the api's proxy calls the provider itself, and not a wrapper that `register` has made. */
function isDelegate(proxy: ProviderProxy | undefined, provider: object): boolean {
  return proxy?.getDelegate?.() === provider;
}
