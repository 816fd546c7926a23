/** The only loader of the native binary, and the types of what it exports. */

/** What the label side (active-labels.ts) needs of the addon. */
export interface NativeLabels {
  /**
   * Length 1: the label id that the signal handler records where the label source is `'slot'`.
   * Backed by memory of the addon that is never freed.
   */
  readonly labelSlot: Int32Array;
  /**
   * Length is a power of two. The signal handler stores 1 at `[id & (length - 1)]` when a sample
   * takes label id `id`; JavaScript clears it. The label table uses it to know which label sets
   * pending samples may still refer to.
   */
  readonly sampledLabels: Uint8Array;
  /** Names the AsyncLocalStorage whose store (a small integer) is the label id; null forgets it. */
  setLabelStorage(storage: object | null): void;
  /**
   * The id that the handler would read from the continuation now, through reads that cannot
   * fault; 0 where there is none, or where the memory layout is not the expected one.
   * Also learns the layout: until one call has returned a non-zero id the source
   * `'continuation'` is refused.
   */
  probeContinuationLabel(): number;
  /** Chooses where the handler reads the label id. Default `'slot'`. False: refused. */
  setLabelSource(source: 'slot' | 'continuation'): boolean;
}
