/** Makes labels follow the active context: patches the context manager that is registered. */
import type { Context } from '@opentelemetry/api';
import { activeLabels } from '../labels/active-labels.js';
import { OTEL_GLOBAL, warnOnce } from '../util/diagnostics.js';
import type { LabelSet } from '../labels/label-set.js';
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

/** What `callInFrame` is to call, and what it tells. */
interface Activation {
  readonly manager: Manager;
  readonly context: Context;
  readonly set: LabelSet | undefined;
  readonly fn: unknown;
  readonly thisArg: unknown;
  readonly hasArg: boolean;
  readonly arg: unknown;
  /** The labels have been put into a frame of the manager's own. */
  replaced: boolean;
}

type Callback = (this: unknown, ...args: unknown[]) => unknown;

/** To be called by the manager's own `with`: the labels need no frame of theirs then. */
function callInFrame(activation: Activation): unknown {
  const { manager, context, set, thisArg } = activation;
  // Where the manager has not changed the context, the frame is one that others share.
  activation.replaced = manager.active() === context;
  if (activation.replaced) activeLabels.replace(set);
  else activeLabels.enter(set);
  const fn = activation.fn as Callback;
  return activation.hasArg ? fn.call(thisArg, activation.arg) : fn.call(thisArg);
}

/** Whether `with` calls its function in a frame that it has made, and makes another after it. */
function makesFrames(manager: Manager, withContext: Manager['with']): boolean {
  try {
    const probe = manager.active().setValue(Symbol('otelpyroscope.probe'), true);
    return activeLabels.probeFrames((fn) => withContext.call(manager, probe, fn));
  } catch {
    return false;
  }
}

function patchWith(manager: Manager): void {
  const original = manager.with;
  /** Undefined until it has been tried. */
  let hasFrames: boolean | undefined;
  // Called for every activation of a context: no closure, no array of arguments (nearly always
  // there are none, or a span), and no second storage without need.
  manager.with = function (this: Manager, context, fn, thisArg, arg, ...more) {
    let hasArg = arguments.length > 3;
    if (more.length > 0) {
      fn = (fn as Callback).bind(thisArg, arg, ...more);
      hasArg = false;
    }
    const before = activeLabels.currentId();
    const current = activeLabels.get(before);
    const set = wantedSet(context, current);
    if (set === current) {
      if (hasArg) return original.call(this, context, fn, thisArg, arg);
      return original.call(this, context, fn, thisArg);
    }
    if (
      activeLabels.replaces &&
      (hasFrames ??= makesFrames(this, original)) &&
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
        return original.call(this, context, callInFrame, undefined, activation);
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
