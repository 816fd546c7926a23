/** The label ids that contexts of OpenTelemetry carry, as a property of their objects. */
import type { NativeLabels } from '../addon/loader.js';
import type { ContextObject, Contexts } from './probes.js';

/** The id of a context whose property the sampler cannot read. */
const UNREADABLE = -1;

export class CarriedIds {
  #contexts: Contexts | undefined;
  /** The property of a context with its id, or `UNREADABLE`. */
  #key = Symbol('otelpyroscope.label-id');
  /** Contexts that were asked about. */
  #asked = new WeakSet<object>();

  /** The property of a context with its id. */
  get key(): symbol {
    return this.#key;
  }

  /** The contexts whose ids the sampler can learn; undefined: none. */
  get contexts(): Contexts | undefined {
    return this.#contexts;
  }

  /** Asks once whether these contexts can carry ids; others do so no longer. */
  begin(contexts: Contexts, canCarry: (key: symbol) => boolean): boolean {
    if (this.#asked.has(contexts)) return false;
    this.#contexts = undefined;
    this.#asked.add(contexts);
    if (!canCarry(this.#key)) return false;
    this.#contexts = contexts;
    return true;
  }

  /** Forgets what the addon has learned. */
  forget(): void {
    this.#contexts = undefined;
    this.#asked = new WeakSet();
  }

  /** Takes the ids from all contexts. */
  takeAll(): void {
    this.forget();
    this.#key = Symbol('otelpyroscope.label-id');
  }

  /** Returns the id of the active context, or 0. */
  activeId(): number {
    return this.#contexts === undefined ? 0 : this.idOf(this.#contexts.active());
  }

  /** Returns the id, or 0. A wrong context may be given to the context manager: `undefined`, or no object. */
  idOf(context: ContextObject | undefined): number {
    const id = context?.[this.#key];
    return id === undefined || id === UNREADABLE ? 0 : id;
  }

  /**
   * Gives the context an id. Returns false where it takes none, or where the sampler could not learn
   * it: `native` is the addon that has to read it, if any has to.
   */
  put(context: ContextObject, id: number, native: NativeLabels | undefined): boolean {
    if (context[this.#key] === UNREADABLE) return false;
    try {
      context[this.#key] = id;
      if (native === undefined || native.canReadContext?.(context) === true) return true;
      context[this.#key] = UNREADABLE;
    } catch {
      // It is frozen, or its class cannot be constructed.
    }
    return false;
  }
}
