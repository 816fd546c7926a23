/**
 * Keeps the label id of the running code in the addon's slot, where Node has no AsyncContextFrame
 * that the signal handler could read it from.
 */
import {
  AsyncResource,
  createHook,
  type AsyncHook,
  type AsyncLocalStorage,
} from 'node:async_hooks';

/** Asynchronous scopes one in another whose outer label is restored; deeper ones end unlabelled. */
export const MAX_SCOPES = 1_024;

/**
 * An async_hooks hook around every callback. `before` writes the id of the callback's own flow.
 * `after` writes back what stood there before it: nothing for a callback of the event loop, the
 * outer flow's id for a scope that code entered by itself (AsyncResource.runInAsyncScope).
 */
export class LabelWordHook {
  readonly #word: Int32Array;
  readonly #hook: AsyncHook;
  /** What to write back, for the scopes now entered, outermost first. */
  readonly #outer = new Int32Array(MAX_SCOPES);
  #depth = 0;

  /** `currentId` answers for the execution context of its call; 0 for no label. */
  constructor(word: Int32Array, currentId: () => number) {
    this.#word = word;
    this.#hook = createHook({
      // Node calls these in pairs, after an uncaught exception too, and aborts over any other.
      before: () => {
        if (this.#depth < MAX_SCOPES) this.#outer[this.#depth] = word[0] ?? 0;
        this.#depth++;
        word[0] = currentId();
      },
      after: () => {
        // At 0: the end of a scope that was entered before the hook was there.
        if (this.#depth > 0) this.#depth--;
        else this.#outer[0] = 0;
        word[0] = this.#outer[this.#depth] ?? 0;
      },
    });
  }

  /** Starts to follow; `id` is that of the code running now. */
  enable(id: number): void {
    this.#depth = 0;
    this.#word[0] = id;
    this.#hook.enable();
  }

  /** Stops to follow and leaves no label behind. */
  disable(): void {
    this.#hook.disable();
    this.#word[0] = 0;
  }
}

/**
 * Whether a `before` hook sees the storage of the flow that it stands before. With
 * AsyncContextFrame it sees that of the code around: a slot written by it would be wrong.
 */
export function hooksSeeFlows(
  storage: AsyncLocalStorage<number>,
  probe: readonly [number, number],
): boolean {
  const [inner, outer] = probe;
  const resource = storage.run(inner, () => new AsyncResource('otelpyroscope.probe'));
  let seen: number | undefined;
  const hook = createHook({
    before: (asyncId: number) => {
      if (asyncId === resource.asyncId()) seen = storage.getStore();
    },
  });
  hook.enable();
  storage.run(outer, () => {
    resource.runInAsyncScope(() => undefined);
  });
  hook.disable();
  return seen === inner;
}
