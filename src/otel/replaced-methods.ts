/** Methods of other objects, replaced for a time. */

/** Remembers what was replaced, and restores it. */
export class ReplacedMethods {
  readonly #steps: (() => boolean)[] = [];

  /**
   * Replaces a method by an own property, until `restore`. A tool that has replaced ours meanwhile
   * keeps its method, and one that had replaced the method before gets its own back. Returns false,
   * and does nothing, if the object is frozen.
   */
  replace(object: object, name: string, value: unknown): boolean {
    const before = Object.getOwnPropertyDescriptor(object, name);
    const attributes = { configurable: true, enumerable: true, writable: true };
    if (!Reflect.defineProperty(object, name, { ...attributes, value })) return false;
    this.#steps.push(() => {
      if (Reflect.get(object, name) !== value) return false;
      Reflect.deleteProperty(object, name);
      if (before !== undefined) Reflect.defineProperty(object, name, before);
      return true;
    });
    return true;
  }

  /** Returns whether all methods are as before: no tool has replaced one of ours meanwhile. */
  restore(): boolean {
    return this.#steps
      .splice(0)
      .map((step) => step())
      .every(Boolean);
  }
}
