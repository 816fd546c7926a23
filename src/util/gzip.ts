/** Compresses in the thread pool of Node.js. */
import { promisify } from 'node:util';
import { areTicksHeld } from './clock.js';
import { zlib } from './lazy-modules.js';

/** Resolves to the data as gzip. */
export async function gzipped(data: Uint8Array): Promise<Uint8Array> {
  return (await areTicksHeld()) ? gzippedSync(data) : promisify(zlib().gzip)(data);
}

export function gzippedSync(data: Uint8Array): Uint8Array {
  return zlib().gzipSync(data);
}
