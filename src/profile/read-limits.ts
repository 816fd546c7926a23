/** Limits of pprof files that are read: a few hostile bytes could otherwise fill all memory. */

/** Largest profile that is read, in bytes after decompression. A larger one is refused. */
export const MAX_PROFILE_BYTES = 256 * 1_048_576;
/** Longest name, file or label value, in bytes; longer ones are cut. */
export const MAX_TEXT_BYTES = 4_096;

/** Most items of each kind in a profile, by the name of the kind in the error message. */
export const MAX_OF = {
  'sample types': 64,
  'values of one sample': 64,
  values: 67_000_000,
  samples: 2_000_000,
  locations: 2_000_000,
  functions: 2_000_000,
  strings: 2_000_000,
  'frames in one stack': 10_000,
  frames: 67_000_000,
  'lines of one location': 10_000,
  lines: 8_000_000,
  'labels of one sample': 256,
  labels: 8_000_000,
  'sets of labels': 500_000,
  'characters of labels': 134_217_728,
} as const;

/** The reason why a profile cannot be read; the message is shown to the user. */
export class ProfileReadError extends Error {}

/** Throws a ProfileReadError if `count` exceeds the limit. */
export function limit(count: number, what: keyof typeof MAX_OF): void {
  const max = MAX_OF[what];
  if (count > max) throw new ProfileReadError(`too large: more than ${String(max)} ${what}`);
}
