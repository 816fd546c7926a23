/** Reads which dynamic linker an executable asks for. */
import { closeSync, openSync, readSync } from 'node:fs';

/** The type of the program header that names the dynamic linker. */
const PT_INTERP = 3;
/** Real executables have ten program headers, and Linux takes no longer path. */
const MAX_HEADERS = 256;
const MAX_PATH_BYTES = 4_096;

/**
 * Returns the path of the dynamic linker that a 64-bit little-endian ELF file names, wherever in the
 * file it is; '' if it names none, or cannot be read. Format: elf(5).
 */
export function dynamicLinkerOf(file: string): string {
  try {
    const descriptor = openSync(file, 'r');
    try {
      const bytesAt = (position: number, length: number): Buffer => {
        const bytes = Buffer.alloc(length);
        return bytes.subarray(0, readSync(descriptor, bytes, 0, length, position));
      };
      const header = bytesAt(0, 64);
      const position = Number(header.readBigUInt64LE(32));
      const entryBytes = header.readUInt16LE(54);
      const count = Math.min(header.readUInt16LE(56), MAX_HEADERS);
      for (let index = 0; index < count; index++) {
        const entry = bytesAt(position + index * entryBytes, 56);
        if (entry.readUInt32LE(0) !== PT_INTERP) continue;
        const length = Math.min(Number(entry.readBigUInt64LE(32)), MAX_PATH_BYTES);
        return (
          bytesAt(Number(entry.readBigUInt64LE(8)), length)
            .toString('latin1')
            .split('\0', 1)[0] ?? ''
        );
      }
    } finally {
      closeSync(descriptor);
    }
  } catch {
    // Not readable, or too short.
  }
  return '';
}
