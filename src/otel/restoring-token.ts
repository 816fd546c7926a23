/** Tokens of `attach` that also restore the labels when they are disposed of. */
import { warnOnce } from '../util/diagnostics.js';
import type { Token } from './context-manager-probes.js';

/** The methods that dispose of a token: that of the api, and that of `using` declarations. */
const DISPOSE_METHODS: readonly PropertyKey[] = [
  'dispose',
  ...('dispose' in Symbol ? [Symbol.dispose as symbol] : []),
];

type Dispose = (...args: unknown[]) => unknown;

/**
 * The own methods of tokens that restore labels already: managers may return one object for several
 * contexts.
 */
const ownMethods = new WeakMap<object, ReadonlyMap<PropertyKey, Dispose>>();

/**
 * Returns the token, whose `dispose` then also calls `restore`, once. If its properties cannot be
 * replaced, returns another object, which has them. Undefined, with a warning, if the token is none
 * or cannot be read. Never throws.
 */
export function restoringToken(token: Token, restore: () => void): Token | undefined {
  try {
    if (typeof token.dispose !== 'function') throw new TypeError('the token has no dispose()');
    const known = ownMethods.get(token);
    const methods = known ?? disposeMethods(token);
    const restoring = restoringMethods(token, methods, restore);
    const replaced =
      known === undefined &&
      Reflect.ownKeys(restoring).every((key) =>
        Reflect.defineProperty(token, key, restoring[key] as PropertyDescriptor),
      );
    if (replaced) ownMethods.set(token, methods);
    return replaced ? token : (Object.create(token, restoring) as Token);
  } catch (error) {
    warnOnce('context-token', 'contexts that this manager attaches have no labels', error);
    return undefined;
  }
}

function disposeMethods(token: Token): Map<PropertyKey, Dispose> {
  const methods = new Map<PropertyKey, Dispose>();
  for (const key of DISPOSE_METHODS) {
    const method: unknown = Reflect.get(token, key);
    if (typeof method === 'function') methods.set(key, method as Dispose);
  }
  return methods;
}

function restoringMethods(
  token: Token,
  methods: ReadonlyMap<PropertyKey, Dispose>,
  restore: () => void,
): PropertyDescriptorMap {
  let restored = false;
  const restoring: PropertyDescriptorMap = {};
  for (const [key, method] of methods) {
    const value = (...args: unknown[]): unknown => {
      try {
        return Reflect.apply(method, token, args);
      } finally {
        if (!restored) restore();
        restored = true;
      }
    };
    restoring[key] = { configurable: true, writable: true, value };
  }
  return restoring;
}
