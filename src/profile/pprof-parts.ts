/** Copies a part of a pprof profile into a profile of its own, with strings in a new table. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { TRIMMED } from '../util/pseudo-frames.js';
import { heaviestFirst } from '../util/sort-in-steps.js';
import { joined } from '../util/time-slices.js';
import {
  FIELD,
  SAMPLE_FIELD,
  SampleReader,
  type PprofIndex,
  type TypeOfValue,
} from './pprof-index.js';

/** Messages that are written in one step; fewer samples, which are large. */
const STEP_MESSAGES = 32;
const STEP_SAMPLES = 8;

/** Labels that the server stores with the sample; each value of any other label is a series. */
export const LABELS_WITHOUT_SERIES: ReadonlySet<string> = new Set(['span_id', 'trace_id']);

/** The part of a profile that `partialProfile` copies. */
export interface Selection {
  /** Numbers of samples. */
  readonly samples: Uint32Array;
  /** Number of the part, and nanoseconds added to its time. */
  readonly part: number;
  /** Selects the labels that are kept; without it all are. */
  readonly filter?: LabelFilter | undefined;
  /** Samples that are summed into one more sample, `(trimmed)`, without labels. */
  readonly trimmed?: readonly Uint32Array[];
}

/** Limits of a sample's labels; see `ProfileLimits`. */
interface LabelLimits {
  readonly labels: number;
  readonly labelName: number;
}

/** Returns the numbers of all samples. */
export function sampleNumbers({ samples }: PprofIndex): Uint32Array {
  const numbers = new Uint32Array(samples.length);
  for (let i = 0; i < numbers.length; i++) numbers[i] = i;
  return numbers;
}

/** Removes labels with too long names, and the last ones of a sample with too many. */
export class LabelFilter {
  readonly #profile: PprofIndex;
  readonly #limits: LabelLimits;
  #room = 0;

  constructor(profile: PprofIndex, limits: LabelLimits) {
    this.#profile = profile;
    this.#limits = limits;
  }

  /** Call this before `keeps` is called for the labels of a sample, in their order. */
  begin(): void {
    this.#room = this.#limits.labels;
  }

  keeps(key: number): boolean {
    const name = this.#profile.text(key);
    if (LABELS_WITHOUT_SERIES.has(name)) return true;
    return Buffer.byteLength(name) <= this.#limits.labelName && this.#room-- > 0;
  }

  /** Returns the number of labels, of all samples, that are not kept. */
  *countDropped(): Generator<void, number> {
    const reader = new SampleReader(this.#profile);
    let dropped = 0;
    for (let sample = 0; sample < this.#profile.samples.length; sample++) {
      this.begin();
      reader.each(sample, (field) => {
        if (field !== SAMPLE_FIELD.label) reader.skip();
        else if (!this.keeps(reader.readLabel().key)) dropped++;
      });
      if (sample % STEP_SAMPLES === 0) yield;
    }
    return dropped;
  }
}

/** Returns the numbers of all samples, sorted by their first value, the largest first; stable. */
export function* heaviestSamples(profile: PprofIndex): Generator<void, Uint32Array> {
  const reader = new SampleReader(profile);
  const count = profile.samples.length;
  const weights = new Float64Array(count);
  for (let sample = 0; sample < count; sample++) {
    weights[sample] = reader.values(sample)[0] ?? 0;
    if (sample % STEP_SAMPLES === 0) yield;
  }
  return yield* heaviestFirst(weights);
}

/** Returns a profile of the selection, with only the messages that its samples refer to; in steps. */
export function partialProfile(
  profile: PprofIndex,
  selection: Selection,
): Generator<void, Uint8Array> {
  return new PartialProfile(profile, selection).encode();
}

class PartialProfile {
  readonly #profile: PprofIndex;
  readonly #selection: Selection;
  readonly #reader: SampleReader;
  readonly #writer = new BinaryWriter();
  readonly #parts: Uint8Array[] = [];
  /** New indices by index in the whole profile; 0: not used so far, or the empty string. */
  readonly #newStrings: Uint32Array;
  /** Indices of the strings used, in the whole profile. */
  readonly #strings: number[] = [0];
  readonly #usedLocations: Uint8Array;
  readonly #usedFunctions: Uint8Array;

  constructor(profile: PprofIndex, selection: Selection) {
    this.#profile = profile;
    this.#selection = selection;
    this.#reader = new SampleReader(profile);
    this.#newStrings = new Uint32Array(profile.strings.length);
    this.#usedLocations = new Uint8Array(profile.locations.length);
    this.#usedFunctions = new Uint8Array(profile.functions.length);
  }

  *encode(): Generator<void, Uint8Array> {
    this.#writeHead();
    const { samples, trimmed } = this.#selection;
    for (let i = 0; i < samples.length; i++) {
      this.#writeSample(samples[i] as number);
      if (i % STEP_SAMPLES === 0) yield this.#endPart();
    }
    const { locations, functions } = this.#profile;
    for (let i = 0; i < locations.length; i++) {
      if (this.#usedLocations[i] !== 0) this.#copyLocation(i);
      if (i % STEP_MESSAGES === 0) yield this.#endPart();
    }
    for (let i = 0; i < functions.length; i++) {
      if (this.#usedFunctions[i] !== 0) this.#writeFunction(i);
      if (i % STEP_MESSAGES === 0) yield this.#endPart();
    }
    if (trimmed !== undefined) yield* this.#writeTrimmed(trimmed);
    for (let i = 0; i < this.#strings.length; i++) {
      this.#copyString(this.#strings[i] as number);
      if (i % STEP_MESSAGES === 0) yield this.#endPart();
    }
    // The last string, as it is not in the whole profile.
    if (trimmed !== undefined) this.#field(FIELD.string).string(TRIMMED);
    this.#endPart();
    return yield* joined(this.#parts);
  }

  #endPart(): void {
    this.#parts.push(this.#writer.finish());
  }

  #writeHead(): void {
    const { sampleTypes, periodType, timeNanos, durationNanos, period } = this.#profile;
    for (const type of sampleTypes) this.#writeType(FIELD.sampleType, type);
    if (periodType !== undefined) this.#writeType(FIELD.periodType, periodType);
    // Times of parts differ by a nanosecond, so that no server takes one for a copy of another.
    this.#number(FIELD.timeNanos, timeNanos + BigInt(this.#selection.part));
    this.#number(FIELD.durationNanos, durationNanos);
    this.#number(FIELD.period, period);
  }

  #writeType(field: number, { type, unit }: TypeOfValue): void {
    this.#field(field).fork();
    this.#number(1, this.#newString(type));
    this.#number(2, this.#newString(unit));
    this.#writer.join();
  }

  #writeSample(sample: number): void {
    const { filter } = this.#selection;
    const reader = this.#reader;
    filter?.begin();
    this.#field(FIELD.sample).fork();
    reader.each(sample, (field) => {
      if (field !== SAMPLE_FIELD.label) {
        const begin = reader.begin;
        if (field === SAMPLE_FIELD.location) reader.numbers((id) => this.#useLocation(id));
        else reader.skip();
        this.#copy(begin, reader.offset);
        return;
      }
      const { key, value } = reader.readLabel();
      if (filter?.keeps(key) === false) return;
      this.#field(SAMPLE_FIELD.label).fork();
      this.#number(1, this.#newString(key));
      this.#number(2, this.#newString(value));
      this.#writer.join();
    });
    this.#writer.join();
  }

  #useLocation(id: number): void {
    const location = this.#profile.locationOf.get(id);
    if (location === undefined) throw new Error('a location is missing');
    this.#usedLocations[location] = 1;
  }

  /** Copies a location unchanged: it has no strings. */
  #copyLocation(location: number): void {
    const { locations, functionOf } = this.#profile;
    const [begin, end] = [locations.begin(location), locations.end(location)];
    this.#field(FIELD.location).uint32(end - begin);
    this.#copy(begin, end);
    const reader = this.#reader;
    reader.enter(begin, end);
    while (reader.next()) {
      if (reader.field !== 4) {
        reader.skip();
        continue;
      }
      reader.message(() => {
        while (reader.next()) {
          if (reader.field !== 1) {
            reader.skip();
            continue;
          }
          const used = functionOf.get(reader.number());
          if (used === undefined) throw new Error('a function is missing');
          this.#usedFunctions[used] = 1;
        }
      });
    }
  }

  #writeFunction(index: number): void {
    const { functions } = this.#profile;
    const reader = this.#reader;
    this.#field(FIELD.function).fork();
    reader.enter(functions.begin(index), functions.end(index));
    while (reader.next()) {
      const { field } = reader;
      // The fields are name, system name and file.
      const isString = field >= 2 && field <= 4;
      this.#number(field, isString ? this.#newString(reader.number()) : reader.number());
    }
    this.#writer.join();
  }

  *#writeTrimmed(trimmed: readonly Uint32Array[]): Generator<void, void> {
    const sums = this.#profile.sampleTypes.map(() => 0);
    for (const samples of trimmed) {
      for (let i = 0; i < samples.length; i++) {
        const values = this.#reader.values(samples[i] as number);
        for (let of = 0; of < sums.length; of++) (sums[of] as number) += values[of] ?? 0;
        if (i % STEP_SAMPLES === 0) yield;
      }
    }
    this.#field(FIELD.sample).fork();
    this.#field(SAMPLE_FIELD.location).fork().uint32(1).join();
    this.#field(SAMPLE_FIELD.value).fork();
    for (const sum of sums) this.#writer.int64(sum);
    this.#writer.join().join();
    this.#field(FIELD.location).fork();
    this.#number(1, 1);
    this.#field(4).fork().tag(1, WireType.Varint).int64(1).join();
    this.#writer.join();
    const name = this.#strings.length;
    this.#field(FIELD.function).fork();
    for (const [field, value] of [1, name, name].entries()) this.#number(field + 1, value);
    this.#writer.join();
  }

  #copyString(index: number): void {
    const { strings } = this.#profile;
    const [begin, end] = [strings.begin(index), strings.end(index)];
    this.#field(FIELD.string).uint32(end - begin);
    this.#copy(begin, end);
  }

  #newString(index: number): number {
    if (index === 0) return 0;
    if (!(index < this.#newStrings.length)) throw new Error('a string is missing');
    let number = this.#newStrings[index] as number;
    if (number === 0) {
      number = this.#strings.push(index) - 1;
      this.#newStrings[index] = number;
    }
    return number;
  }

  #copy(begin: number, end: number): void {
    this.#writer.raw(this.#profile.bytes.subarray(begin, end));
  }

  #field(field: number): BinaryWriter {
    return this.#writer.tag(field, WireType.LengthDelimited);
  }

  #number(field: number, value: number | bigint): void {
    this.#writer.tag(field, WireType.Varint).int64(value);
  }
}
