/** The interface by which a profile gets the original positions of compiled code. */
import { fileURLToPath } from 'node:url';

/** A function and the position in its file where it begins. */
export interface SourceFunction {
  readonly name: string;
  /** '' for none. */
  readonly url: string;
  /** 1-based, 0 for unknown; the same for `column`. */
  readonly line: number;
  readonly column: number;
  /** The number of the source map that came with its script; 0 or undefined for none. */
  readonly sourceMap?: number | undefined;
}

/** The original positions of compiled code (source-maps.ts). */
export interface OriginalPositions {
  /** Returns the original of a function, or the function itself if that is unknown. */
  functionAt(compiled: SourceFunction): SourceFunction;
  /**
   * Returns the original line of a position in a function, in the file of the function's original,
   * or undefined if it is unknown. `column` is 0 if only the line is known.
   */
  lineAt(compiled: SourceFunction, line: number, column: number): number | undefined;
}

/** Returns the path of a `file:` URL; anything else (`node:fs`, `evalmachine.<anonymous>`) unchanged. */
export function fileName(url: string): string {
  if (!url.startsWith('file:')) return url;
  try {
    return fileURLToPath(url);
  } catch {
    return url;
  }
}
