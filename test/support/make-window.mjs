/** Makes windows of any size, as the agent has them, for tests of uploads. */
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
 * A gzipped profile of the 15 s that began `ageMs` ago, with `samples` different stacks of 2 frames; sample i
 * has a value of i + 1 and the labels that `labelsOf(i)` says.
 *
 * @param {number} samples
 * @param {(index: number) => Record<string, string>} [labelsOf]
 */
export function makeWindow(samples, labelsOf = () => ({}), ageMs = 15_000) {
  const strings = new StringTable();
  const text = (value) => strings.dedup(value);
  const type = (name, unit) => new ValueType({ type: text(name), unit: text(unit) });
  const entries = Array.from({ length: samples + 1 }, (_, index) => index + 1);
  const period = 10_000_000;
  const profile = new Profile({
    sampleType: [type('samples', 'count'), type('cpu', 'nanoseconds')],
    sample: entries.slice(0, samples).map(
      (id, index) =>
        new Sample({
          locationId: [id, samples + 1],
          value: [id, id * period],
          label: Object.entries(labelsOf(index)).map(([key, value]) => ({
            key: text(key),
            str: text(value),
          })),
        }),
    ),
    location: entries.map((id) => new Location({ id, line: [{ functionId: id, line: id }] })),
    function: entries.map((id) => {
      const name = text(id > samples ? 'main' : `work_${id}`);
      return new PprofFunction({ id, name, systemName: name, filename: text('/app/work.js') });
    }),
    stringTable: strings,
    timeNanos: BigInt(Date.now() - ageMs) * 1_000_000n,
    durationNanos: 15_000_000_000n,
    periodType: type('cpu', 'nanoseconds'),
    period,
  });
  return gzipSync(profile.encode());
}
