/** Chooses from where the signal handler reads the id of the current labels. */
import type { AsyncLocalStorage } from 'node:async_hooks';
import { warnOnce } from '../util/diagnostics.js';
import { learnResources } from './async-resources.js';
import {
  keyOfStorage,
  probeBeforeHook,
  probeCarriedLabels,
  probeStores,
  STORAGES_USE_HOOKS,
} from './probes.js';
import type { CarriedIds } from './carried-ids.js';
import type { NativeLabels } from '../addon/loader.js';

/**
 * Where the signal handler finds the id of the running code: in its stores, which are in V8's
 * continuation or in the async resource, or in the label word. `'none'`: samples have no labels.
 */
export type LabelSource = 'continuation' | 'async-resource' | 'label-word' | 'none';

/** Whether the handler reads the stores themselves, so that it has to be told nothing. */
export function readsStores(source: LabelSource | undefined): boolean {
  return source === 'continuation' || source === 'async-resource';
}

/**
 * Chooses the source, and has the addon read it: ids are in `storage`, if there is one, and in the
 * contexts of `carried`. Where storages use hooks, call it only for a label.
 */
export function chooseSource(
  native: NativeLabels,
  storage: AsyncLocalStorage<number> | undefined,
  carried: CarriedIds,
): LabelSource {
  const stores = STORAGES_USE_HOOKS ? 'async-resource' : 'continuation';
  if (canReadStores(native, storage, carried) && native.setLabelSource(stores)) return stores;
  native.setLabelSource('label-word');
  if (storage === undefined || probeBeforeHook(storage)) return 'label-word';
  warnOnce(
    'label-source',
    'samples will have no labels: the profiler cannot read label ids on this Node.js',
  );
  return 'none';
}

/** Names the storage's key to the addon. Returns false if it is not known. */
export function nameStorage(
  native: NativeLabels,
  storage: AsyncLocalStorage<number> | undefined,
): boolean {
  const key = storage === undefined ? undefined : keyOfStorage(storage);
  native.setLabelStorage(key ?? null);
  return storage === undefined || key !== undefined;
}

function canReadStores(
  native: NativeLabels,
  storage: AsyncLocalStorage<number> | undefined,
  carried: CarriedIds,
): boolean {
  if (STORAGES_USE_HOOKS && !learnResources(native)) return false;
  if (!nameStorage(native, storage)) return false;
  if (storage !== undefined && !probeStores(storage, native)) return false;
  // Context frames are read before contexts can carry ids.
  const { contexts, key } = carried;
  if (!STORAGES_USE_HOOKS || contexts === undefined) return true;
  return probeCarriedLabels(native, key, contexts);
}
