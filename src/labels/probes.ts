/** Probes of how this Node.js and the addon treat label ids: versions and flags do not show it. */
import { AsyncLocalStorage, AsyncResource, createHook } from 'node:async_hooks';
import { PROBE_IDS } from './label-table.js';
import { keyOfStore } from './async-resources.js';
import type { NativeLabels } from '../addon/loader.js';

/** A context of OpenTelemetry, as an object that carries the id of a label set under a symbol. */
export type ContextObject = Record<symbol, number | undefined>;

/** The contexts of a context manager: each async context has an active one. */
export interface Contexts {
  /** Returns the context of this async context. */
  active(): ContextObject;
  /** Returns a new context for a probe. */
  make(): ContextObject;
  /** Calls `fn` in an async context with this context. */
  activate<T>(context: ContextObject, fn: () => T): T;
}

/**
 * Calls `fn` in a snapshot of the current async context, so that no context frame of `fn` outlives
 * the call. With AsyncContextFrame, each storage ever used in an async context stays in all of its
 * context frames, and makes each later copy of one longer.
 */
function inContextSnapshot<T>(fn: () => T): T {
  return AsyncLocalStorage.snapshot()(fn);
}

/**
 * Can the addon read the label id of `storage`, whose key it was given, from the stores?
 *
 * Runs code under two ids, and under a second storage, and has the addon read the id there. `true`:
 * the signal handler reads label ids from the context frame, or from the async resource. `false` (a
 * memory layout that the addon does not know): it reads them from the label word.
 */
export function probeStores(storage: AsyncLocalStorage<number>, native: NativeLabels): boolean {
  return inContextSnapshot(() => {
    const [first, second] = PROBE_IDS;
    const other = new AsyncLocalStorage<object>();
    const read = (): number => native.probeLabel();
    const isRead =
      storage.run(first, read) === first &&
      storage.run(second, read) === second &&
      storage.run(first, () => other.run({}, read)) === first;
    // Without AsyncContextFrame, every promise would carry its store from now on.
    other.disable();
    return isRead;
  });
}

/** Returns the key under which async contexts have the store of this storage; undefined: not found. */
export function keyOfStorage(storage: AsyncLocalStorage<number>): object | symbol | undefined {
  if (!STORAGES_USE_HOOKS) return storage;
  const [id] = PROBE_IDS;
  return inContextSnapshot(() => storage.run(id, () => keyOfStore(id)));
}

/**
 * Does the first use of an AsyncLocalStorage enable async_hooks for the whole thread?
 *
 * `false`: AsyncContextFrame; storages, and the other probes, cost nothing. `true`: each promise
 * costs more from the first use on, and Node.js itself then loses stores that `enterWith` sets
 * inside an awaited function. So nothing here may use a storage before the application has labels,
 * and where the addon cannot read the stores, the label word has to be written when a context becomes
 * active, or is left.
 * Whichever it is, the other probes decide how labels are read.
 */
export const STORAGES_USE_HOOKS = '_enable' in AsyncLocalStorage.prototype;

/**
 * Would `probeStores` probably succeed?
 *
 * Has the addon read one id from a temporary storage; only where storages use no hooks. `true`:
 * labels can be connected before the thread is sampled, at no cost. `false`: once it is sampled.
 */
export function probeTemporaryStorage(native: NativeLabels): boolean {
  const storage = new AsyncLocalStorage<number>();
  const [id] = PROBE_IDS;
  native.setLabelStorage(storage);
  const read = (): number => native.probeLabel();
  const isRead = inContextSnapshot(() => storage.run(id, read)) === id;
  storage.disable();
  native.setLabelStorage(null);
  return isRead;
}

/** Returns what `read` returns in an async_hooks `before` hook, while `resource` is entered in `outside`. */
function readInBeforeHook<T>(
  resource: AsyncResource,
  read: () => T,
  outside: (enter: () => void) => void,
): T | undefined {
  let found: T | undefined;
  const hook = createHook({
    before: (asyncId: number) => {
      if (asyncId === resource.asyncId()) found = read();
    },
  });
  hook.enable();
  try {
    outside(() => {
      resource.runInAsyncScope(() => undefined);
    });
  } finally {
    hook.disable();
  }
  return found;
}

/**
 * Does an async_hooks `before` hook find the store of the async context that it precedes?
 *
 * Enters an async context that was made under one id from code that runs under another, and reads
 * the id in the hook. `true`: `LabelWordHook` can write the label word. `false` (AsyncContextFrame,
 * where the hook finds the store of the surrounding code): the word would be wrong, so that
 * samples have no labels if the continuation cannot be read either.
 */
export function probeBeforeHook(storage: AsyncLocalStorage<number>): boolean {
  return inContextSnapshot(() => {
    const [inner, outer] = PROBE_IDS;
    const resource = storage.run(inner, () => new AsyncResource('otelpyroscope.probe'));
    const read = (): number | undefined => storage.getStore();
    return readInBeforeHook(resource, read, (enter) => storage.run(outer, enter)) === inner;
  });
}

/**
 * Does an async_hooks `before` hook find the active context of the async context that it precedes?
 *
 * As `probeBeforeHook`, with contexts of OpenTelemetry. `true`: `LabelWordHook` can write the id that
 * the context carries. `false`: their ids are put into our storage.
 */
export function probeHookedContexts(contexts: Contexts): boolean {
  try {
    const before = contexts.active();
    const [inner, outer] = [contexts.make(), contexts.make()];
    const isActive = (context: ContextObject): boolean =>
      contexts.activate(context, () => contexts.active() === context);
    const areActive = contexts.activate(
      outer,
      () => isActive(inner) && contexts.active() === outer && isActive(outer) && isActive(inner),
    );
    const resource = contexts.activate(inner, () => new AsyncResource('otelpyroscope.probe'));
    const read = (): ContextObject => contexts.active();
    const found = readInBeforeHook(resource, read, (enter) => contexts.activate(outer, enter));
    return areActive && found === inner && contexts.active() === before;
  } catch {
    // Contexts of this kind cannot be made, or not be activated.
    return false;
  }
}

/** Lets the addon find the contexts, of which the active one is this. */
function findContexts(native: NativeLabels, active: ContextObject, id: symbol): boolean {
  if (!STORAGES_USE_HOOKS) return native.findContexts?.(active, id) === true;
  const storage = keyOfStore(active);
  return storage !== undefined && native.setContextKeys?.(storage, id) === true;
}

/**
 * Can the addon read the label id that a context of these carries under `key`?
 *
 * Has the addon find the storage of the active context, and then read the ids of two contexts, inside
 * one another and outside as well. `true`: no storage of
 * ours is needed for the labels of contexts. `false`: their ids are put into our storage.
 */
export function probeCarriedLabels(native: NativeLabels, key: symbol, contexts: Contexts): boolean {
  const [first, second] = PROBE_IDS;
  const make = (id: number): ContextObject => {
    const context = contexts.make();
    context[key] = id;
    return context;
  };
  const read = (): number => native.probeLabel();
  const probe = (): boolean => {
    const before = contexts.active();
    const sample = make(first);
    if (!contexts.activate(sample, () => findContexts(native, sample, key))) return false;
    const [one, two] = [make(first), make(second)];
    const readInside = (): boolean => {
      const inside = contexts.activate(one, read);
      return inside === first && read() === second;
    };
    return (
      contexts.activate(one, read) === first &&
      contexts.activate(two, readInside) &&
      contexts.activate(contexts.make(), read) === 0 &&
      contexts.active() === before
    );
  };
  try {
    return inContextSnapshot(probe);
  } catch {
    // Contexts of this kind cannot be made, or not be activated.
    return false;
  }
}
