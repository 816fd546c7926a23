/** State that exists once per JavaScript thread, even when the package is loaded twice. */

/**
 * Returns the object that the first caller in this thread created under `name`.
 *
 * Two copies of the package in one process (two versions in `node_modules`, a bundle beside an
 * import) must share one label store and one sampler, or each has only half of the spans. `name`
 * contains the version of the object's interface: change it when the interface changes.
 */
export function threadSingleton<T extends object>(name: string, create: () => T): T {
  const key = Symbol.for(`otelpyroscope.${name}`);
  const holder = globalThis as { [key: symbol]: T | undefined };
  const existing = holder[key];
  if (existing !== undefined) return existing;
  const created = create();
  Object.defineProperty(globalThis, key, { value: created, enumerable: false });
  return created;
}
