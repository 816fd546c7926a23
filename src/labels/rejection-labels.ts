/** Labels in handlers of `unhandledRejection`, which Node.js calls without the `before` of async_hooks. */

const REJECTION = 'unhandledRejection';

/**
 * A listener before those of the program, which run in the async context of the rejected promise. It
 * is there only while the program has a listener: alone it would keep Node.js from ending the process.
 */
export class RejectionLabels {
  readonly #enter: () => void;
  readonly #leave: () => void;
  #isEnabled = false;

  /** `enter` is called before the handlers of one rejection, `leave` in a callback after them. */
  constructor(enter: () => void, leave: () => void) {
    this.#enter = enter;
    this.#leave = leave;
  }

  enable(): void {
    if (this.#isEnabled) return;
    this.#isEnabled = true;
    process.on('newListener', this.#onAdded);
    process.on('removeListener', this.#onRemoved);
    if (process.listenerCount(REJECTION) > 0) process.prependListener(REJECTION, this.#onRejection);
  }

  disable(): void {
    this.#isEnabled = false;
    process.off('newListener', this.#onAdded);
    process.off('removeListener', this.#onRemoved);
    process.off(REJECTION, this.#onRejection);
  }

  readonly #onRejection = (): void => {
    this.#enter();
    // In a callback of its own, because the listeners after this one are not known.
    void Promise.resolve().then(this.#leave);
  };

  /** Called before a listener is added, also before ours. */
  readonly #onAdded = (event: unknown, listener: unknown): void => {
    if (event !== REJECTION || listener === this.#onRejection) return;
    if (process.listenerCount(REJECTION) === 0) process.on(REJECTION, this.#onRejection);
  };

  readonly #onRemoved = (event: unknown): void => {
    if (event !== REJECTION) return;
    const [first, ...others] = process.listeners(REJECTION);
    if (others.length === 0 && first === this.#onRejection) process.off(REJECTION, first);
  };
}
