/** Patches the registered context manager, so that a context's labels are current with it. */
import type { Context } from '@opentelemetry/api';
import { activeLabels } from '../labels/active-labels.js';
import { warnOnce } from '../util/diagnostics.js';
import { registeredContextManager } from './api-globals.js';
import type { LabelSet } from '../labels/label-set.js';
import {
  bindCallsWith,
  makesContextFrames,
  type ContextManager,
  type Token,
} from './context-manager-probes.js';
import { restoringToken } from './restoring-token.js';
import { labelSetOf } from './span-labels.js';

const PATCHED = Symbol.for('otelpyroscope.context-manager.v1');
/** The methods that `patch` replaces. */
const METHODS = ['with', 'attach', 'bind'] as const;

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
  const needsBindPatch = !bindCallsWith(manager);
  const before = METHODS.map((name) => Object.getOwnPropertyDescriptor(manager, name));
  patchWith(manager);
  if (typeof manager.attach === 'function') patchAttach(manager, manager.attach);
  if (needsBindPatch) patchBind(manager);
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
  if (patches.get(manager)?.() === true) patches.delete(manager);
  else leftPatched.add(manager);
}

/** The function that `callWithLabels` calls, its arguments and labels, and how these were set. */
interface Activation {
  readonly manager: Manager;
  readonly context: Context;
  readonly set: LabelSet | undefined;
  readonly fn: unknown;
  readonly thisArg: unknown;
  readonly hasArg: boolean;
  readonly arg: unknown;
  /** The label id was overwritten in a context frame that the manager made. */
  replaced: boolean;
}

type Callback = (this: unknown, ...args: unknown[]) => unknown;

/**
 * Called by the manager's own `with`, in whose new context frame it overwrites the label id. Where
 * the caller gave no `thisArg`, `this` is what the manager gives to functions then.
 */
function callWithLabels(this: unknown, activation: Activation): unknown {
  const { manager, context, set, thisArg = this } = activation;
  // If the manager has not changed the context, other async contexts may share the context frame.
  activation.replaced = manager.active() === context;
  if (activation.replaced) activeLabels.replace(set);
  else activeLabels.enter(set);
  const fn = activation.fn as Callback;
  return activation.hasArg ? fn.call(thisArg, activation.arg) : fn.call(thisArg);
}

function patchWith(manager: Manager): void {
  const original = manager.with;
  /** Undefined until it has been probed. */
  let hasContextFrames: boolean | undefined;
  // Called at every activation of a context: no closure, no array of arguments (nearly always there
  // are none, or a span), and no second copy of the context frame unless it is needed.
  manager.with = function (this: Manager, context, fn, thisArg, arg, ...more) {
    let hasArg = arguments.length > 3;
    if (more.length > 0) {
      const given = fn as Callback;
      fn = function (this: unknown) {
        return given.call(thisArg === undefined ? this : thisArg, arg, ...more);
      };
      hasArg = false;
    }
    const before = activeLabels.currentId();
    const current = activeLabels.get(before);
    const set = labelSetOrNone(context, current);
    if (set === current) {
      if (hasArg) return original.call(this, context, fn, thisArg, arg);
      return original.call(this, context, fn, thisArg);
    }
    if (
      activeLabels.canReplace &&
      (hasContextFrames ??= makesContextFrames(this, original)) &&
      this.active() !== context
    ) {
      const activation: Activation = {
        manager: this,
        context,
        set,
        fn,
        thisArg,
        hasArg,
        arg,
        replaced: false,
      };
      try {
        return original.call(this, context, callWithLabels, undefined, activation);
      } finally {
        if (activation.replaced) activeLabels.restoreReplaced(before);
        else activeLabels.restore(before);
      }
    }
    const writes = activeLabels.enter(set);
    try {
      if (hasArg) return original.call(this, context, fn, thisArg, arg);
      return original.call(this, context, fn, thisArg);
    } finally {
      activeLabels.restore(before, writes);
    }
  };
}

function patchAttach(manager: Manager, original: (context: Context) => Token): void {
  manager.attach = function (this: Manager, context) {
    const token = original.call(this, context);
    const before = activeLabels.currentId();
    const current = activeLabels.get(before);
    const set = labelSetOrNone(context, current);
    if (set === current) return token;
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
      const current = activeLabels.current();
      const set = labelSetOrNone(context, current);
      if (set === current) return Reflect.apply(bound, this, args);
      return activeLabels.run(set, bound as (...args: unknown[]) => unknown, this, args);
    };
    Object.defineProperty(labelled, 'length', { configurable: true, value: bound.length });
    return labelled as T;
  };
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
