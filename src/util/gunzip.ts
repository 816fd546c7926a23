/** Unpacks gzip data without a long turn of the event loop, however much comes out of it. */
import { createGunzip } from 'node:zlib';
import { inSlices, joined } from './time-slices.js';

/** What the thread pool unpacks at a time, in bytes. */
const CHUNK_BYTES = 65_536;

/** More came out than was allowed. */
export class GunzipLimitError extends Error {}

/**
 * Resolves to the unpacked bytes. Rejects with a GunzipLimitError where there are more than
 * `maxBytes`, with an error of zlib where the data are damaged.
 */
export async function gunzipInSlices(
  gzipped: Uint8Array,
  maxBytes = Infinity,
): Promise<Uint8Array> {
  const stream = createGunzip({ chunkSize: CHUNK_BYTES });
  stream.end(gzipped);
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    length += (chunk as Uint8Array).length;
    if (length > maxBytes) throw new GunzipLimitError(`more than ${String(maxBytes)} bytes`);
    chunks.push(chunk as Uint8Array);
  }
  return inSlices(joined(chunks));
}
