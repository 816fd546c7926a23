/** Prototypes through which a wrapper has the properties of the object that it wraps. */

/** Properties that a wrapper does not take from the object inside. */
export interface OwnProperties {
  /** The prototype of the wrapper's class: its properties come first. */
  readonly own?: object;
  /** Methods that replace those of the object inside, where it has them. */
  readonly replaced?: Readonly<Record<string, unknown>>;
}

/**
 * Returns a prototype for a wrapper of `inner`. All properties but the given ones are read from
 * `inner` and written to it. Methods are bound to `inner`, because the wrapper has none of its
 * private state.
 */
export function passThrough(inner: object, { own, replaced = {} }: OwnProperties): object {
  const bound = new Map<PropertyKey, { method: unknown; bound: unknown }>();
  const isOwn = (key: PropertyKey): boolean => own !== undefined && key in own;
  return new Proxy(
    {},
    {
      get(_target, key, receiver: unknown): unknown {
        if (isOwn(key)) return Reflect.get(own as object, key, receiver);
        const value: unknown = Reflect.get(inner, key);
        if (typeof value !== 'function' || key === 'constructor') return value;
        if (typeof key === 'string' && Object.hasOwn(replaced, key)) return replaced[key];
        let entry = bound.get(key);
        if (entry?.method !== value) {
          entry = { method: value, bound: value.bind(inner) };
          bound.set(key, entry);
        }
        return entry.bound;
      },
      set(_target, key, value, receiver: unknown): boolean {
        if (!isOwn(key) && !Object.hasOwn(replaced, key)) return Reflect.set(inner, key, value);
        // A tool that replaces a method of the wrapper.
        const attributes = { configurable: true, enumerable: true, writable: true };
        return Reflect.defineProperty(receiver as object, key, { ...attributes, value });
      },
      has: (_target, key) => key in inner || isOwn(key),
      getPrototypeOf: () => own ?? Reflect.getPrototypeOf(inner),
    },
  );
}
