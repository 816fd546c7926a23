/** Profiles of any kind and size, to try a server with. */
import { gzipSync } from 'node:zlib';
import {
  Function as PprofFunction,
  Location,
  Profile,
  Sample,
  StringTable,
  ValueType,
} from 'pprof-format';

/**
 * A gzipped profile that began `ageMs` ago: one sample for each entry of `samples`, with a stack of its
 * own of `depth` frames, the labels that the entry says, and the value i + 1 of each type.
 * @param {{ types?: [string, string][], periodType?: [string, string], period?: number,
 *   samples?: Record<string, string>[], depth?: number, name?: string, ageMs?: number }} [of]
 */
export function makeProfileOf({
  types = [
    ['samples', 'count'],
    ['cpu', 'nanoseconds'],
  ],
  periodType = ['cpu', 'nanoseconds'],
  period = 10_000_000,
  samples = [{}],
  depth = 1,
  name = 'work',
  ageMs = 15_000,
} = {}) {
  const strings = new StringTable();
  const text = (value) => strings.dedup(value);
  const type = ([kind, unit]) => new ValueType({ type: text(kind), unit: text(unit) });
  const id = (index, frame) => index * depth + frame + 1;
  const frames = samples.flatMap((_, index) =>
    Array.from({ length: depth }, (_, frame) => id(index, frame)),
  );
  const sampleType = types.map(type);
  const profile = new Profile({
    sampleType,
    sample: samples.map(
      (labels, index) =>
        new Sample({
          locationId: Array.from({ length: depth }, (_, frame) => id(index, frame)),
          value: types.map(([kind]) => (kind === 'cpu' ? (index + 1) * period : index + 1)),
          label: Object.entries(labels).map(([key, value]) => ({
            key: text(key),
            str: text(value),
          })),
        }),
    ),
    location: frames.map(
      (frame) => new Location({ id: frame, line: [{ functionId: frame, line: 1 }] }),
    ),
    function: frames.map((frame) => {
      const own = text(`${name}_${frame}`);
      return new PprofFunction({
        id: frame,
        name: own,
        systemName: own,
        filename: text('/app.js'),
      });
    }),
    stringTable: strings,
    timeNanos: BigInt(Date.now() - ageMs) * 1_000_000n,
    durationNanos: 15_000_000_000n,
    periodType: type(periodType),
    period,
  });
  return gzipSync(profile.encode());
}
