/** Makes labels follow the active context: patches the context manager that is registered. */
import type { Context } from '@opentelemetry/api';
import { activeLabels } from './active-labels.js';
import { OTEL_GLOBAL, warnOnce } from './diagnostics.js';
import type { LabelSet } from './label-set.js';
import { labelSetOf } from './span-labels.js';

/** What `attach` of api 1.10 returns. */
interface Token {
  dispose: () => void;
}

/** What of a context manager is used and patched. */
interface Manager {
  active: () => Context;
  with: (context: Context, fn: unknown, thisArg?: unknown, ...args: unknown[]) => unknown;
  bind: <T>(context: Context, target: T) => T;
  attach?: (context: Context) => Token;
  [PATCHED]?: true;
}

const PATCHED = Symbol.for('otelpyroscope.context-manager.v1');

let known: Manager | undefined;

/**
 * The registered context manager, patched; undefined where none is registered. To be called at
 * every span start: one may be registered later, or again. Never throws.
 */
export function patchedContextManager(): Manager | undefined {
  const manager = (globalThis as { [OTEL_GLOBAL]?: { context?: Manager } })[OTEL_GLOBAL]?.context;
  if (manager !== known) {
    known = manager;
    if (manager !== undefined) {
      try {
        patch(manager);
      } catch (error) {
        warnOnce('context-manager', 'labels do not follow this context manager', error);
      }
    }
  }
  return manager;
}

function patch(manager: Manager): void {
  if (manager[PATCHED] === true) return;
  // First: it fails where the manager takes no properties, and then nothing is half patched.
  Object.defineProperty(manager, PATCHED, { value: true });
  const bindCallsWith = bindReachesWith(manager);
  patchWith(manager);
  if (typeof manager.attach === 'function') patchAttach(manager, manager.attach);
  if (!bindCallsWith) patchBind(manager);
}

function patchWith(manager: Manager): void {
  const original = manager.with;
  // Called for every activation of a context: no closure, and no second storage without need.
  manager.with = function (this: Manager, context, fn, thisArg, ...args) {
    const before = activeLabels.currentId();
    const current = activeLabels.get(before);
    const set = wantedSet(context, current);
    if (set === current) {
      // Without arguments, as almost always, a call that spreads none is much cheaper.
      if (args.length === 0) return original.call(this, context, fn, thisArg);
      return original.call(this, context, fn, thisArg, ...args);
    }
    const writes = activeLabels.enter(set);
    try {
      if (args.length === 0) return original.call(this, context, fn, thisArg);
      return original.call(this, context, fn, thisArg, ...args);
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
    const set = wantedSet(context, current);
    if (set === current) return token;
    activeLabels.enter(set);
    return restoringToken(token, before);
  };
}

/** The manager's own token; its `dispose` also brings the labels back. */
function restoringToken(token: Token, before: number): Token {
  const dispose = token.dispose;
  let disposed = false;
  token.dispose = function (this: Token) {
    try {
      dispose.call(token);
    } finally {
      if (!disposed) activeLabels.restore(before);
      disposed = true;
    }
  };
  return token;
}

function patchBind(manager: Manager): void {
  const original = manager.bind;
  manager.bind = function <T>(this: Manager, context: Context, target: T): T {
    const bound = original.call(this, context, target) as T;
    if (typeof bound !== 'function') return bound;
    const labelled = function (this: unknown, ...args: unknown[]): unknown {
      const current = activeLabels.current();
      const set = wantedSet(context, current);
      if (set === current) return Reflect.apply(bound, this, args);
      return activeLabels.run(set, bound as (...args: unknown[]) => unknown, this, args);
    };
    Object.defineProperty(labelled, 'length', { configurable: true, value: bound.length });
    return labelled as T;
  };
}

/** Whether functions bound by this manager are called through its `with`. */
function bindReachesWith(manager: Manager): boolean {
  const own = Object.getOwnPropertyDescriptor(manager, 'with');
  const original = manager.with;
  let reached = false;
  manager.with = function (this: Manager, ...args) {
    reached = true;
    return original.apply(this, args);
  };
  try {
    manager.bind(manager.active(), () => undefined)();
  } catch (error) {
    warnOnce('context-bind', 'labels may not follow functions bound to a context', error);
    return true;
  } finally {
    if (own === undefined) delete (manager as { with?: unknown }).with;
    else Object.defineProperty(manager, 'with', own);
  }
  return reached;
}

/** The labels must never keep the application's function from being called. */
function wantedSet(context: Context, current: LabelSet | undefined): LabelSet | undefined {
  try {
    return labelSetOf(context, current);
  } catch (error) {
    warnOnce('context', 'a context is without labels', error);
    return undefined;
  }
}
