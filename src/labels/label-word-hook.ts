/**
 * Writes the label id of the running code into the addon's label word, where the signal handler cannot
 * read it from the stores.
 */
import { createHook, type AsyncHook } from 'node:async_hooks';
import { RejectionLabels } from './rejection-labels.js';

/** Nested async scopes whose outer label is restored; deeper ones end without a label. */
export const MAX_SCOPES = 1_024;

/**
 * An async_hooks hook around every callback. `before` writes the id of the callback's own async
 * context. `after` writes back the id from before it: 0 for a callback of the event loop, the
 * outer async context's id for a scope entered by code (AsyncResource.runInAsyncScope).
 */
export class LabelWordHook {
  readonly #word: Int32Array;
  readonly #hook: AsyncHook;
  /** The ids that `after` writes back, for the scopes now entered, outermost first. */
  readonly #outer = new Int32Array(MAX_SCOPES);
  readonly #rejections: RejectionLabels;
  #depth = 0;
  #failures = 0;

  /** `currentId` returns the label id of the async context that it is called in; 0 for no label. */
  constructor(word: Int32Array, currentId: () => number) {
    this.#word = word;
    // An error in a hook ends the process, and another hook may have broken AsyncLocalStorage.
    const writeCurrentId = (): void => {
      try {
        word[0] = currentId();
      } catch {
        word[0] = 0;
        this.#failures++;
      }
    };
    // At its end, `after` writes back the id that the word had before the callback.
    this.#rejections = new RejectionLabels(writeCurrentId, () => {
      if (this.#depth > 0) this.#outer[this.#depth - 1] = 0;
      else word[0] = 0;
    });
    this.#hook = createHook({
      // Node.js calls these in pairs, after an uncaught exception too, and aborts otherwise.
      before: () => {
        if (this.#depth < MAX_SCOPES) this.#outer[this.#depth] = word[0] ?? 0;
        this.#depth++;
        writeCurrentId();
      },
      after: () => {
        // At depth 0 a scope ends that was entered before the hook was enabled.
        if (this.#depth > 0) this.#depth--;
        else this.#outer[0] = 0;
        word[0] = this.#outer[this.#depth] ?? 0;
      },
    });
  }

  /** Callbacks that ran without labels because `currentId` threw. */
  get failures(): number {
    return this.#failures;
  }

  /** Starts writing; `id` is the label id of the code running now. */
  enable(id: number): void {
    this.#depth = 0;
    this.#word[0] = id;
    this.#hook.enable();
    this.#rejections.enable();
  }

  /** Stops writing and clears the label word. */
  disable(): void {
    this.#hook.disable();
    this.#rejections.disable();
    this.#word[0] = 0;
  }
}
