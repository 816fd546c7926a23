/** Compresses in the thread pool of Node.js. */
import { promisify } from 'node:util';
import { areTicksHeld } from './clock.js';
import { zlib } from './lazy-modules.js';
import { nextTurn } from './time-slices.js';

/** Resolves to the data as gzip. */
export async function gzipped(data: Uint8Array): Promise<Uint8Array> {
  if (await areTicksHeld()) return gzippedSync(data);
  // The first load and the first call take one to five milliseconds each: in turns of their own.
  await nextTurn();
  const { gzip } = zlib();
  await nextTurn();
  return promisify(gzip)(data);
}

export function gzippedSync(data: Uint8Array): Uint8Array {
  return zlib().gzipSync(data);
}
