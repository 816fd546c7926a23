/** Prototypes through which a wrapper has the properties of the object that it wraps. */

/**
 * Returns a prototype for a wrapper of `inner`. Properties that neither the wrapper nor `own` has
 * are read from `inner` and written to it. Methods are bound to `inner`, because the wrapper has
 * none of its private state; only those in `unbound` are called on the wrapper.
 */
export function passThrough(
  inner: object,
  own?: object,
  unbound?: ReadonlySet<PropertyKey>,
): object {
  const bound = new Map<PropertyKey, { method: unknown; bound: unknown }>();
  return new Proxy(
    {},
    {
      get(_target, key, receiver: unknown): unknown {
        if (own !== undefined && key in own) return Reflect.get(own, key, receiver);
        const value: unknown = Reflect.get(inner, key);
        if (typeof value !== 'function' || key === 'constructor' || unbound?.has(key) === true) {
          return value;
        }
        let entry = bound.get(key);
        if (entry?.method !== value) {
          entry = { method: value, bound: value.bind(inner) };
          bound.set(key, entry);
        }
        return entry.bound;
      },
      set: (_target, key, value) => Reflect.set(inner, key, value),
      has: (_target, key) => key in inner || (own !== undefined && key in own),
      getPrototypeOf: () => own ?? Reflect.getPrototypeOf(inner),
    },
  );
}
