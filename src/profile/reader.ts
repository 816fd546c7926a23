/** Reads pprof files of any writer: unpacks and decodes them; names the kind of a file that is none. */
import { GunzipLimitError, gunzipInSlices } from '../util/gunzip.js';
import { ProfileDecoder } from './decoder.js';
import type { Profile } from './model.js';
import { MAX_PROFILE_BYTES, ProfileReadError } from './read-limits.js';
import { ProtobufError } from './protobuf-reader.js';
import { inSlices } from '../util/time-slices.js';

/**
 * Reads a pprof profile, gzipped or not: format
 * https://github.com/google/pprof/blob/main/proto/profile.proto. Of several sample types it takes
 * `cpu`, else the profile's default, else the last, as `go tool pprof` does.
 * Rejects with a ProfileReadError.
 */
export async function readProfile(bytes: Uint8Array): Promise<Profile> {
  let plain = bytes;
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) {
    try {
      plain = await gunzipInSlices(bytes, MAX_PROFILE_BYTES);
    } catch (error) {
      if (error instanceof GunzipLimitError) throw tooLarge();
      throw new ProfileReadError(`damaged gzip data (${(error as Error).message})`);
    }
  }
  if (plain.length > MAX_PROFILE_BYTES) throw tooLarge();
  if (plain.length === 0) throw new ProfileReadError('it is empty');
  try {
    return await inSlices(new ProfileDecoder(plain).read());
  } catch (error) {
    if (error instanceof ProtobufError) {
      throw new ProfileReadError(`${guess(plain)} (${error.message})`);
    }
    throw error;
  }
}

function tooLarge(): ProfileReadError {
  return new ProfileReadError(
    `larger than ${String(MAX_PROFILE_BYTES / 1_048_576)} MiB uncompressed`,
  );
}

/** Returns what the bytes are more likely than a damaged profile. */
function guess(bytes: Uint8Array): string {
  const start = Buffer.from(bytes.subarray(0, 64)).toString('latin1').trimStart();
  if (start.startsWith('{')) return 'it is JSON, such as a .cpuprofile of V8';
  if (/^[\x20-\x7e\s]{16}/.test(start)) return 'it is text';
  return 'malformed or truncated';
}
