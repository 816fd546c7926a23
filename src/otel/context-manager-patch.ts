/** Patches the registered context manager, so that a context's labels are current with it. */
import type { Context } from '@opentelemetry/api';
import { activeLabels } from '../labels/active-labels.js';
import { warnOnce } from '../util/diagnostics.js';
import { registeredContextManager } from './api-globals.js';
import type { LabelSet } from '../labels/label-set.js';
import { STORAGES_USE_HOOKS, type ContextObject, type Contexts } from '../labels/probes.js';
import { bindCallsWith, type ContextManager, type Token } from './context-manager-probes.js';
import { restoringToken } from './restoring-token.js';
import { labelSetOf } from './span-labels.js';

const PATCHED = Symbol.for('otelpyroscope.context-manager.v1');
/** The methods that `patch` may replace. */
const METHODS = ['with', 'attach', 'bind', 'disable'] as const;

interface Manager extends ContextManager {
  [PATCHED]?: true;
}

let lastManager: Manager | undefined;
/** Functions that restore the methods of managers that this copy of the package has patched. */
const patches = new WeakMap<Manager, () => boolean>();
/** Managers whose methods other tools had replaced when they were to be restored. */
const leftPatched = new WeakSet<Manager>();

/**
 * Returns the registered context manager, patched; undefined where none is registered. Called at
 * every span start: a manager may be registered later, or again. Never throws.
 */
export function patchedContextManager(): Manager | undefined {
  const manager = registeredContextManager() as Manager | undefined;
  if (manager !== lastManager) {
    lastManager = manager;
    if (manager !== undefined) {
      try {
        patch(manager);
      } catch (error) {
        warnOnce(
          'context-manager',
          'this context manager cannot be patched: spans have no labels in its contexts',
          error,
        );
      }
    }
  }
  return manager;
}

function patch(manager: Manager): void {
  if (manager[PATCHED] === true) return;
  // First: a manager that takes no properties throws here, before anything is patched.
  Object.defineProperty(manager, PATCHED, { value: true, configurable: true });
  const before = METHODS.map((name) => Object.getOwnPropertyDescriptor(manager, name));
  const contexts = contextsOf(manager);
  patchWith(manager, contexts);
  if (typeof manager.attach === 'function') patchAttach(manager, manager.attach, contexts);
  if (!bindCallsWith(manager)) patchBind(manager);
  if (STORAGES_USE_HOOKS && manager.disable !== undefined) patchDisable(manager, manager.disable);
  const patched = METHODS.map((name) => manager[name]);
  patches.set(manager, () => {
    if (METHODS.some((name, index) => manager[name] !== patched[index])) return false;
    METHODS.forEach((name, index) => {
      const own = before[index];
      if (own === undefined) Reflect.deleteProperty(manager, name);
      else Object.defineProperty(manager, name, own);
    });
    return Reflect.deleteProperty(manager, PATCHED);
  });
}

/** Whether the registered context manager is patched, also by another copy of the package. */
export function isContextManagerPatched(): boolean {
  const manager = registeredContextManager() as Manager | undefined;
  return manager?.[PATCHED] === true && !leftPatched.has(manager);
}

/**
 * Restores the methods of the registered context manager, unless another tool has replaced ours:
 * then they stay, and do nothing for contexts without labels.
 */
export function restoreContextManager(): void {
  const manager = lastManager;
  if (manager === undefined) return;
  // Another registration that still labels spans patches it again.
  lastManager = undefined;
  activeLabels.stopCarrying();
  if (patches.get(manager)?.() === true) patches.delete(manager);
  else leftPatched.add(manager);
}

type Callback = (this: unknown, ...args: unknown[]) => unknown;
type Newable = new () => unknown;

/** Call this before the manager is patched. */
function contextsOf(manager: Manager): Contexts {
  const activate = manager.with;
  const active = (): ContextObject => manager.active() as unknown as ContextObject;
  return {
    active,
    // Not made from the active context: the addon keeps it.
    make: () => Reflect.construct(active().constructor as unknown as Newable, []) as ContextObject,
    activate: (context, fn) => activate.call(manager, context as unknown as Context, fn) as never,
  };
}

function patchWith(manager: Manager, contexts: Contexts): void {
  const original = manager.with;
  // Called at every activation of a context, when the processor's caches hold other code: what is seldom
  // needed is in functions of its own.
  manager.with = function (this: Manager, context, fn, thisArg, ...args) {
    const object = context as unknown as ContextObject;
    if (
      this !== manager ||
      activeLabels.storedId() !== 0 ||
      // Labels of the user's own depend on the async context.
      !(
        (!activeLabels.hasUserLabels && activeLabels.carriesSet(object, contexts)) ||
        carriesItsLabels(context, contexts)
      )
    ) {
      return callWithStoredLabels(context, original as Callback, this, [
        context,
        fn,
        thisArg,
        ...args,
      ]);
    }
    const { changes, ended, innermost } = activeLabels;
    const outside = activeLabels.enterContext(object);
    try {
      return original.call(this, context, fn, thisArg, ...args);
    } finally {
      activeLabels.innermost = innermost;
      if (activeLabels.changes !== changes) activeLabels.undoChanges(ended);
      activeLabels.leaveContext(outside);
    }
  };
}

/** Calls `fn`, which activates the context, with its labels stored, unless they are stored already. */
function callWithStoredLabels(
  context: Context,
  fn: Callback,
  thisArg: unknown,
  args: unknown[],
): unknown {
  const current = activeLabels.current();
  const set = labelSetOrNone(context, current);
  return isStored(set, current, activeLabels.storedId())
    ? Reflect.apply(fn, thisArg, args)
    : activeLabels.run(set, fn, thisArg, args);
}

/**
 * Lets the context carry its labels; returns whether it does. Then nothing has to be stored, unless
 * an id is stored already.
 */
function carriesItsLabels(context: Context, contexts: Contexts): boolean {
  if (!activeLabels.isCarriedBy(contexts)) {
    // Where storages use hooks, a probe does: not before there is a label.
    if (STORAGES_USE_HOOKS && labelSetOrNone(context, undefined) === undefined) return false;
    if (!activeLabels.carryBy(contexts)) return false;
  }
  if (activeLabels.hasUserLabels && activeLabels.current()?.user !== undefined) return false;
  const object = context as unknown as ContextObject;
  return (
    activeLabels.carriesSet(object, contexts) ||
    activeLabels.carry(object, labelSetOrNone(context, undefined))
  );
}

function patchAttach(
  manager: Manager,
  original: (context: Context) => Token,
  contexts: Contexts,
): void {
  manager.attach = function (this: Manager, context) {
    const before = activeLabels.storedId();
    const current = activeLabels.current();
    const set = labelSetOrNone(context, current);
    const mayBeCarried = before === 0 && this === manager && !STORAGES_USE_HOOKS;
    const isCarried = mayBeCarried && carriesItsLabels(context, contexts);
    const token = original.call(this, context);
    if (isCarried ? this.active() === context : isStored(set, current, before)) return token;
    const restoring = restoringToken(token, () => activeLabels.restore(before));
    // Labels that nothing would restore are not set.
    if (restoring === undefined) return token;
    activeLabels.enter(set);
    return restoring;
  };
}

function patchBind(manager: Manager): void {
  const original = manager.bind;
  manager.bind = function <T>(this: Manager, context: Context, target: T): T {
    const bound = original.call(this, context, target) as T;
    if (typeof bound !== 'function') return bound;
    const labelled = function (this: unknown, ...args: unknown[]): unknown {
      return callWithStoredLabels(context, bound as Callback, this, args);
    };
    Object.defineProperty(labelled, 'length', { configurable: true, value: bound.length });
    return labelled as T;
  };
}

/** Where storages use hooks, one that is disabled leaves its stores in the async resources. */
function patchDisable(manager: Manager, original: () => unknown): void {
  manager.disable = function (this: Manager) {
    if (this === manager) activeLabels.forgetContexts();
    return original.call(this);
  };
}

/** Whether the id that is stored here stands for the set in another context as well. */
function isStored(set: LabelSet | undefined, current: LabelSet | undefined, id: number): boolean {
  return set === current && (id !== 0 || !activeLabels.areCarried);
}

/** `labelSetOf`; undefined if that throws: the application's function must be called anyway. */
function labelSetOrNone(context: Context, current: LabelSet | undefined): LabelSet | undefined {
  try {
    return labelSetOf(context, current);
  } catch (error) {
    warnOnce(
      'context',
      'the labels of a context could not be determined: its code has none',
      error,
    );
    return undefined;
  }
}
