/** Merges profiles that this package has written, of several processes, into one. */
import { Profile } from 'pprof-format';
import type { ProfileType } from '../util/profile-types.js';
import { atOnce } from '../util/time-slices.js';
import { ProfileBuilder } from './profile-builder.js';
import type { Labels } from '../util/labels.js';
import type { SampleBatch } from './sample-batch.js';

/** Different stacks with labels of a merged profile; see `MAX_STACKS` for what comes after. */
const MAX_MERGED_STACKS = 1_000_000;

type Numeric = number | bigint;

/** Functions and frames that are the same in several profiles are stored once. Blocks. */
export class ProfileMerger {
  readonly #builder: ProfileBuilder;
  readonly #periodNanos: number;
  /** Equal sets are the same object. */
  readonly #labelSets = new Map<string, Labels>();
  #beginNanos = Infinity;
  #endNanos = -Infinity;

  constructor(type: ProfileType, periodNanos: number) {
    this.#builder = new ProfileBuilder(type, { maxStacks: MAX_MERGED_STACKS });
    this.#periodNanos = periodNanos;
  }

  /** Adds an uncompressed profile, whose samples get the labels `added`. */
  add(bytes: Uint8Array, added: Labels): void {
    const profile = Profile.decode(bytes);
    const begin = Number(profile.timeNanos);
    this.#beginNanos = Math.min(this.#beginNanos, begin);
    this.#endNanos = Math.max(this.#endNanos, begin + Number(profile.durationNanos));
    const { frames, frameOf } = framesOf(profile);
    const { stacks, labels } = this.#stacksOf(profile, frameOf, added);
    this.#builder.add({ ...functionsOf(profile), frames, stacks, labels });
    atOnce(this.#builder.merge());
  }

  /** Returns the merged profile, uncompressed. */
  encode(): Uint8Array {
    const times = {
      startNanos: BigInt(this.#beginNanos),
      durationNanos: BigInt(this.#endNanos - this.#beginNanos),
      periodNanos: this.#periodNanos,
    };
    return atOnce(this.#builder.encode(times));
  }

  #stacksOf(
    { sample: samples, stringTable }: Profile,
    frameOf: ReadonlyMap<Numeric, number>,
    added: Labels,
  ): Pick<SampleBatch, 'stacks' | 'labels'> {
    const text = (index: Numeric): string => stringTable.strings[Number(index)] ?? '';
    const labels = new Map<number, Labels>();
    const ids = new Map<string, number>();
    const stacks: number[] = [];
    for (const { locationId, value, label } of samples) {
      const key = label.map((each) => `${String(each.key)}=${String(each.str)}`).join();
      let id = ids.get(key);
      if (id === undefined) {
        id = ids.size + 1;
        ids.set(key, id);
        const own = label.map((each): [string, string] => [text(each.key), text(each.str)]);
        labels.set(id, this.#sameLabels({ ...Object.fromEntries(own), ...added }));
      }
      const weight = Math.round(Number(value.at(-1)) / this.#periodNanos);
      stacks.push(weight, locationId.length, id);
      for (const location of locationId) stacks.push(frameOf.get(location) as number);
    }
    return { stacks: Uint32Array.from(stacks), labels };
  }

  #sameLabels(labels: Labels): Labels {
    const key = JSON.stringify(labels);
    const known = this.#labelSets.get(key);
    if (known !== undefined) return known;
    this.#labelSets.set(key, labels);
    return labels;
  }
}

function functionsOf({
  function: functions,
  stringTable: { strings },
}: Profile): Pick<SampleBatch, 'names' | 'startLines' | 'startColumns'> {
  const names: string[] = [];
  for (const { name, filename } of functions) {
    names.push(strings[Number(name)] ?? '', strings[Number(filename)] ?? '');
  }
  return {
    names,
    startLines: Uint32Array.from(functions, ({ startLine }) => Number(startLine)),
    startColumns: new Uint32Array(functions.length),
  };
}

/** Returns function and line of each location, and its index by its id. */
function framesOf({ location: locations, function: functions }: Profile): {
  frames: Uint32Array;
  frameOf: Map<Numeric, number>;
} {
  const indexOf = new Map(functions.map(({ id }, index): [Numeric, number] => [id, index]));
  const frames = new Uint32Array(2 * locations.length);
  const frameOf = new Map<Numeric, number>();
  for (const [index, { id, line }] of locations.entries()) {
    // Profiles of this package have one line in each location.
    const [only] = line;
    frames[2 * index] = (only && indexOf.get(only.functionId)) ?? 0;
    frames[2 * index + 1] = Number(only?.line ?? 0);
    frameOf.set(id, index);
  }
  return { frames, frameOf };
}
