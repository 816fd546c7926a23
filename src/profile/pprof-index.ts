/** Indexes the messages in the bytes of our own pprof profiles, to read and copy them one by one. */
import { IdMap } from '../util/growing-maps.js';
import { uint32Column } from './model.js';
import { ProtobufReader } from './protobuf-reader.js';

/** Bytes that are scanned in one step; the step ends behind the message that it is in then. */
const STEP_BYTES = 8_192;

/** Field numbers of `Profile`: https://github.com/google/pprof/blob/main/proto/profile.proto */
export const FIELD = {
  sampleType: 1,
  sample: 2,
  location: 4,
  function: 5,
  string: 6,
  timeNanos: 9,
  durationNanos: 10,
  periodType: 11,
  period: 12,
} as const;

/** Field numbers of `Sample`. */
export const SAMPLE_FIELD = { location: 1, value: 2, label: 3 } as const;

/** Byte ranges of messages or texts of one kind, by number. */
export class Ranges {
  readonly #begins = uint32Column();
  readonly #ends = uint32Column();

  get length(): number {
    return this.#begins.length;
  }

  push(begin: number, end: number): void {
    this.#begins.push(begin);
    this.#ends.push(end);
  }

  begin(index: number): number {
    return this.#begins.at(index);
  }

  end(index: number): number {
    return this.#ends.at(index);
  }
}

/** A type and its unit, as indices in the table of strings. */
export interface TypeOfValue {
  readonly type: number;
  readonly unit: number;
}

/** The index of a profile by `ProfileBuilder`: one without mappings, with ids of 32 bits. */
export class PprofIndex {
  readonly bytes: Uint8Array;
  /** The content of each message, without its tag and length. */
  readonly samples = new Ranges();
  readonly locations = new Ranges();
  readonly functions = new Ranges();
  readonly strings = new Ranges();
  readonly sampleTypes: TypeOfValue[] = [];
  periodType: TypeOfValue | undefined;
  timeNanos = 0n;
  durationNanos = 0n;
  period = 0n;
  /** Numbers of locations and functions by their ids. */
  readonly locationOf = new IdMap();
  readonly functionOf = new IdMap();
  #texts: (string | undefined)[] = [];

  /** Called by `of`. */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  /** Creates an index in steps. Throws a ProtobufError if the bytes are no profile. */
  static *of(bytes: Uint8Array): Generator<void, PprofIndex> {
    const index = new PprofIndex(bytes);
    const reader = new ProtobufReader(bytes);
    const inner = new ProtobufReader(bytes);
    let stepEnd = STEP_BYTES;
    while (reader.next()) {
      index.#add(reader, inner);
      if (reader.offset < stepEnd) continue;
      stepEnd = reader.offset + STEP_BYTES;
      yield;
    }
    index.#texts = new Array<undefined>(index.strings.length);
    return index;
  }

  /** Returns a string of the table, or '' if the index is too large. */
  text(index: number): string {
    const known = this.#texts[index];
    if (known !== undefined) return known;
    if (!(index < this.strings.length)) return '';
    const text = this.#slice(this.strings.begin(index), this.strings.end(index)).toString('utf8');
    this.#texts[index] = text;
    return text;
  }

  /** Returns a range of the bytes as the key of a Map. */
  keyOf(begin: number, end: number): string {
    return this.#slice(begin, end).toString('latin1');
  }

  #slice(begin: number, end: number): Buffer {
    return Buffer.from(this.bytes.buffer, this.bytes.byteOffset + begin, end - begin);
  }

  #add(reader: ProtobufReader, inner: ProtobufReader): void {
    const { field } = reader;
    if (field === FIELD.timeNanos) this.timeNanos = reader.bigint();
    else if (field === FIELD.durationNanos) this.durationNanos = reader.bigint();
    else if (field === FIELD.period) this.period = reader.bigint();
    else if (field === FIELD.sample) this.#keep(this.samples, reader);
    else if (field === FIELD.string) this.#keep(this.strings, reader);
    else if (field === FIELD.location) {
      const id = this.#keepWithId(this.locations, reader, inner);
      this.locationOf.set(id, this.locations.length - 1);
    } else if (field === FIELD.function) {
      const id = this.#keepWithId(this.functions, reader, inner);
      this.functionOf.set(id, this.functions.length - 1);
    } else if (field === FIELD.sampleType) this.sampleTypes.push(valueTypeIn(reader, inner));
    else if (field === FIELD.periodType) this.periodType = valueTypeIn(reader, inner);
    else reader.skip();
  }

  #keep(ranges: Ranges, reader: ProtobufReader): number {
    const begin = reader.content();
    ranges.push(begin, reader.offset);
    return begin;
  }

  #keepWithId(ranges: Ranges, reader: ProtobufReader, inner: ProtobufReader): number {
    inner.enter(this.#keep(ranges, reader), reader.offset);
    let id = 0;
    while (inner.next()) {
      if (inner.field === 1) id = inner.number();
      else inner.skip();
    }
    return id;
  }
}

/** Reads samples by their numbers. */
export class SampleReader extends ProtobufReader {
  readonly #profile: PprofIndex;

  constructor(profile: PprofIndex) {
    super(profile.bytes);
    this.#profile = profile;
  }

  /** Calls `read` for each field, which `read` must read or skip. */
  each(sample: number, read: (field: number) => void): void {
    const { samples } = this.#profile;
    this.enter(samples.begin(sample), samples.end(sample));
    while (this.next()) read(this.field);
  }

  values(sample: number): number[] {
    const values: number[] = [];
    this.each(sample, (field) => {
      if (field === SAMPLE_FIELD.value) this.numbers((value) => values.push(value));
      else this.skip();
    });
    return values;
  }

  /** Reads the label at the cursor: its name and value, as indices in the table of strings. */
  readLabel(): { key: number; value: number } {
    const label = { key: 0, value: 0 };
    this.message(() => {
      while (this.next()) {
        if (this.field === 1) label.key = this.number();
        else if (this.field === 2) label.value = this.number();
        else this.skip();
      }
    });
    return label;
  }
}

function valueTypeIn(reader: ProtobufReader, inner: ProtobufReader): TypeOfValue {
  const found = { type: 0, unit: 0 };
  inner.enter(reader.content(), reader.offset);
  while (inner.next()) {
    if (inner.field === 1) found.type = inner.number();
    else if (inner.field === 2) found.unit = inner.number();
    else inner.skip();
  }
  return found;
}
