/** Decompresses gzip data of any size without blocking the event loop for long. */
import { areTicksHeld } from './clock.js';
import { zlib } from './lazy-modules.js';
import { inSlices, joined } from './time-slices.js';

/** Bytes that the thread pool decompresses at a time. */
const CHUNK_BYTES = 65_536;

/** The decompressed data exceed the limit. */
export class GunzipLimitError extends Error {}

/**
 * Resolves to the decompressed bytes. Rejects with a GunzipLimitError if there are more than
 * `maxBytes`, with an error of zlib if the data are damaged.
 */
export async function gunzipInSlices(
  gzipped: Uint8Array,
  maxBytes = Infinity,
): Promise<Uint8Array> {
  if (await areTicksHeld()) return gunzipAtOnce(gzipped, maxBytes);
  const stream = zlib().createGunzip({ chunkSize: CHUNK_BYTES });
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

function gunzipAtOnce(gzipped: Uint8Array, maxBytes: number): Uint8Array {
  const bytes = zlib().gunzipSync(gzipped);
  if (bytes.length > maxBytes) throw new GunzipLimitError(`more than ${String(maxBytes)} bytes`);
  return bytes;
}
