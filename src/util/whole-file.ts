/** Writes files so that they are whole or not there, also where the disk is full. */
import { renameSync, rmSync, writeFileSync } from 'node:fs';

/** Returns the name, beside `file`, under which it is written first. */
export function temporaryNameOf(file: string): string {
  return `${file}.tmp`;
}

/**
 * Writes `file`, or replaces it. If that fails, throws, and an earlier file stays as it was, with
 * nothing beside it. If the process is killed, a file of `temporaryNameOf` may be left.
 */
export function writeWholeFileSync(file: string, bytes: Uint8Array): void {
  const temporary = temporaryNameOf(file);
  try {
    writeFileSync(temporary, bytes);
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
