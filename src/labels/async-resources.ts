/**
 * The async resources of Node.js without AsyncContextFrame: the objects of callbacks and promises,
 * whose properties are the stores of AsyncLocalStorages. The addon reads them where it can.
 */
import {
  AsyncLocalStorage,
  AsyncResource,
  executionAsyncId,
  executionAsyncResource,
} from 'node:async_hooks';
import type { NativeLabels } from '../addon/loader.js';

/** Returns the key under which the running resource has this store; undefined if none, or several. */
export function keyOfStore(store: unknown): symbol | undefined {
  const resource = executionAsyncResource() as Record<symbol, unknown>;
  const keys = Object.getOwnPropertySymbols(resource).filter((key) => resource[key] === store);
  return keys.length === 1 ? keys[0] : undefined;
}

/**
 * Lets the addon find the running resource. False: it cannot, because it does not know the memory
 * layout of this Node.js, or because stores are not its properties (since Node.js 24.20).
 */
export function learnResources(native: NativeLabels): boolean {
  if (native.learnResources === undefined || !storesAreProperties()) return false;
  const key = publicKey();
  if (key === undefined) return false;
  const resource = new AsyncResource('otelpyroscope.probe');
  const isLearned = resource.runInAsyncScope(() => native.learnResources?.(resource, key) === true);
  if (isLearned) learnOutermostResource(native);
  return isLearned;
}

/**
 * Names the resource of code outside of all callbacks, if this is such code: after an `await` at the
 * top level of a module, until hooks are enabled.
 */
function learnOutermostResource(native: NativeLabels): void {
  if (executionAsyncId() === 0) native.learnOutermostResource?.(executionAsyncResource());
}

function storesAreProperties(): boolean {
  const storage = new AsyncLocalStorage<object>();
  const store = {};
  const key = storage.run(store, () => keyOfStore(store));
  storage.disable();
  return key !== undefined;
}

/**
 * Returns the key under which an object of Node.js has another one that `executionAsyncResource`
 * returns in its place, such as that of a request. It is asked for of each resource, also of a proxy.
 */
function publicKey(): symbol | undefined {
  const asked: PropertyKey[] = [];
  const get = (target: AsyncResource, key: PropertyKey): unknown => {
    asked.push(key);
    return Reflect.get(target, key);
  };
  const resource = new Proxy(new AsyncResource('otelpyroscope.probe'), { get });
  const keys = resource.runInAsyncScope(() => {
    asked.length = 0;
    executionAsyncResource();
    return [...asked];
  });
  return keys.length === 1 && typeof keys[0] === 'symbol' ? keys[0] : undefined;
}
