/** Decodes pprof bytes into columns, within limits, as files are not trusted. */
import { PROFILE_TYPES } from '../util/profile-types.js';
import { IdMap } from '../util/growing-maps.js';
import { float64Column, uint32Column, type Profile } from './model.js';
import type { ValueType } from '../util/profile-types.js';
import { resolveLabels } from './profile-labels.js';
import { limit, MAX_OF, MAX_TEXT_BYTES, ProfileReadError } from './read-limits.js';
import { ProtobufReader } from './protobuf-reader.js';

/** Read once, as it is compared with every frame. */
const MAX_DEPTH = MAX_OF['frames in one stack'];
/** Bytes that are decoded in one step; the step ends behind the message that it is in then. */
const STEP_BYTES = 2_048;
/** Entries, and frames of stacks, that are resolved in one step. */
const STEP_ITEMS = 64;
const STEP_FRAMES = 1_024;

/** Reads the bytes once. Ids and strings are resolved at the end: their messages may come last. */
export class ProfileDecoder {
  readonly #reader: ProtobufReader;
  readonly #strings: string[] = [];
  readonly #types: [type: number, unit: number][] = [];
  readonly #functions = {
    ids: float64Column(),
    names: float64Column(),
    files: float64Column(),
    startLines: float64Column(),
  };
  readonly #locationIds = float64Column();
  readonly #addresses = float64Column();
  /** Index in `#lines` of each location's first line. */
  readonly #lineStarts = uint32Column();
  readonly #lines = { functionIds: float64Column(), numbers: float64Column() };
  readonly #sampleValues = float64Column();
  readonly #sampleStarts = uint32Column();
  readonly #sampleLocations = float64Column();
  readonly #labelStarts = uint32Column();
  /** Four numbers per label; see `resolveLabels`. */
  readonly #labels = float64Column();
  #timeNanos = 0;
  #durationNanos = 0;
  #defaultType = 0;

  constructor(bytes: Uint8Array) {
    this.#reader = new ProtobufReader(bytes);
  }

  /** Decodes in steps. Throws a ProfileReadError or a ProtobufError. */
  *read(): Generator<void, Profile> {
    const reader = this.#reader;
    let stepEnd = STEP_BYTES;
    while (reader.next()) {
      if (reader.field === 1) this.#readType();
      else if (reader.field === 2) this.#readSample();
      else if (reader.field === 4) this.#readLocation();
      else if (reader.field === 5) this.#readFunction();
      else if (reader.field === 6) this.#readString();
      else if (reader.field === 9) this.#timeNanos = reader.number();
      else if (reader.field === 10) this.#durationNanos = reader.number();
      else if (reader.field === 14) this.#defaultType = reader.number();
      else reader.skip();
      if (reader.offset < stepEnd) continue;
      stepEnd = reader.offset + STEP_BYTES;
      yield;
    }
    return yield* this.#resolve();
  }

  #readType(): void {
    const type: [number, number] = [0, 0];
    this.#fields((field) => {
      if (field === 1) type[0] = this.#reader.number();
      else if (field === 2) type[1] = this.#reader.number();
      else this.#reader.skip();
    });
    this.#types.push(type);
    limit(this.#types.length, 'sample types');
  }

  #readSample(): void {
    limit(this.#sampleStarts.length, 'samples');
    const begin = this.#sampleLocations.length;
    const labels = this.#labels.length;
    const values = this.#sampleValues.length;
    this.#sampleStarts.push(begin);
    this.#labelStarts.push(labels);
    this.#fields((field) => {
      if (field === 1) {
        this.#reader.numbers((id) => {
          const depth = this.#sampleLocations.length - begin;
          if (depth > MAX_DEPTH) limit(depth, 'frames in one stack');
          this.#sampleLocations.push(id);
        });
      } else if (field === 2) {
        this.#reader.numbers((value) => {
          limit(this.#sampleValues.length - values, 'values of one sample');
          this.#sampleValues.push(value);
        });
      } else if (field === 3) {
        limit((this.#labels.length - labels) / 4, 'labels of one sample');
        this.#readLabel();
      } else this.#reader.skip();
    });
    limit(this.#sampleLocations.length, 'frames');
    limit(this.#sampleValues.length, 'values');
    limit(this.#labels.length / 4, 'labels');
    // Types may follow the samples in the file, but all samples have the same number of values.
    const count = this.#sampleValues.length - values;
    if (count === 0 || this.#sampleValues.length !== count * this.#sampleStarts.length) {
      throw new ProfileReadError('malformed: samples have different numbers of values');
    }
  }

  #readLabel(): void {
    const label = [0, 0, 0, 0];
    this.#fields((field) => {
      if (field >= 1 && field <= 4) label[field - 1] = this.#reader.number();
      else this.#reader.skip();
    });
    for (const part of label) this.#labels.push(part);
  }

  #readLocation(): void {
    limit(this.#locationIds.length, 'locations');
    const begin = this.#lines.numbers.length;
    this.#lineStarts.push(begin);
    let id = 0;
    let address = 0;
    this.#fields((field) => {
      if (field === 1) id = this.#reader.number();
      else if (field === 3) address = this.#reader.number();
      else if (field === 4) {
        limit(this.#lines.numbers.length - begin, 'lines of one location');
        this.#readLine();
      } else this.#reader.skip();
    });
    limit(this.#lines.numbers.length, 'lines');
    this.#locationIds.push(id);
    this.#addresses.push(address);
  }

  #readLine(): void {
    let functionId = 0;
    let line = 0;
    this.#fields((field) => {
      if (field === 1) functionId = this.#reader.number();
      else if (field === 2) line = this.#reader.number();
      else this.#reader.skip();
    });
    this.#lines.functionIds.push(functionId);
    this.#lines.numbers.push(line);
  }

  #readFunction(): void {
    const { ids, names, files, startLines } = this.#functions;
    limit(ids.length, 'functions');
    let id = 0;
    let name = 0;
    let systemName = 0;
    let file = 0;
    let startLine = 0;
    this.#fields((field) => {
      if (field === 1) id = this.#reader.number();
      else if (field === 2) name = this.#reader.number();
      else if (field === 3) systemName = this.#reader.number();
      else if (field === 4) file = this.#reader.number();
      else if (field === 5) startLine = this.#reader.number();
      else this.#reader.skip();
    });
    startLines.push(startLine);
    ids.push(id);
    names.push(name === 0 ? systemName : name);
    files.push(file);
  }

  #readString(): void {
    limit(this.#strings.length, 'strings');
    const bytes = this.#reader.bytes();
    const text = Buffer.from(
      bytes.buffer,
      bytes.byteOffset,
      Math.min(bytes.length, MAX_TEXT_BYTES),
    );
    this.#strings.push(text.toString('utf8'));
  }

  #fields(read: (field: number) => void): void {
    this.#reader.message((reader) => {
      while (reader.next()) read(reader.field);
    });
  }

  *#resolve(): Generator<void, Profile> {
    if (this.#types.length === 0) {
      throw new ProfileReadError('it has no sample types, so it is no pprof profile');
    }
    const { index, valueType } = this.#chooseType();
    const width = this.#types.length;
    const count = this.#sampleStarts.length;
    if (this.#sampleValues.length !== width * count) {
      throw new ProfileReadError('malformed: samples have not one value for each sample type');
    }
    const values = new Float64Array(count);
    for (let i = 0; i < count; i++) {
      values[i] = this.#sampleValues.at(i * width + index);
      if (i % STEP_ITEMS === 0) yield;
    }
    const { starts, ...frames } = yield* this.#resolveFrames();
    return {
      valueType,
      timeNanos: this.#timeNanos,
      durationNanos: this.#durationNanos,
      ...frames,
      values,
      ...(yield* this.#resolveStacks(starts)),
      ...(yield* resolveLabels(this.#labelStarts, this.#labels, (index) => this.#text(index))),
    };
  }

  #chooseType(): { index: number; valueType: ValueType } {
    const types = this.#types.map(([type, unit]) => ({
      type: this.#text(type),
      unit: this.#text(unit),
    }));
    const known = (name: string): number => types.findIndex(({ type }) => type === name);
    const fallback = this.#defaultType === 0 ? -1 : known(this.#text(this.#defaultType));
    const own = PROFILE_TYPES.map(({ main }) => known(main.type));
    const candidates = [...own, fallback, types.length - 1];
    const index = candidates.find((candidate) => candidate >= 0) as number;
    return { index, valueType: types[index] as ValueType };
  }

  /** Resolves names, files and frames. Location `i` has the frames `starts[i]` … `starts[i + 1]`. */
  *#resolveFrames(): Generator<
    void,
    Pick<Profile, 'names' | 'files' | 'functionOf' | 'lineOf'> & { starts: Uint32Array }
  > {
    const names: string[] = [];
    const files: string[] = [];
    const functionIndexes = new IdMap();
    for (let i = 0; i < this.#functions.ids.length; i++) {
      functionIndexes.set(this.#functions.ids.at(i), i);
      const name = this.#text(this.#functions.names.at(i));
      names.push(named(name, this.#functions.startLines.at(i)));
      files.push(this.#text(this.#functions.files.at(i)));
      if (i % STEP_ITEMS === 0) yield;
    }
    const functionOf = uint32Column();
    const lineOf = float64Column();
    const count = this.#locationIds.length;
    const starts = new Uint32Array(count + 1);
    const { functionIds, numbers } = this.#lines;
    for (let i = 0; i < count; i++) {
      const begin = this.#lineStarts.at(i);
      const end = i + 1 < count ? this.#lineStarts.at(i + 1) : numbers.length;
      if (begin === end) {
        functionOf.push(names.push(addressName(this.#addresses.at(i))) - 1);
        files.push('');
        lineOf.push(0);
      }
      for (let at = begin; at < end; at++) {
        const index = functionIndexes.get(functionIds.at(at));
        if (index === undefined) throw new ProfileReadError('malformed: a function is missing');
        functionOf.push(index);
        lineOf.push(numbers.at(at));
      }
      starts[i + 1] = functionOf.length;
      if (i % STEP_ITEMS === 0 || end - begin > STEP_ITEMS) yield;
    }
    return {
      names,
      files,
      functionOf: yield* functionOf.take(),
      lineOf: yield* lineOf.take(),
      starts,
    };
  }

  /** Resolves stacks. `starts` has the first frame of each location. */
  *#resolveStacks(starts: Uint32Array): Generator<void, Pick<Profile, 'stackStarts' | 'stacks'>> {
    const locations = new IdMap();
    for (let i = 0; i < this.#locationIds.length; i++) {
      locations.set(this.#locationIds.at(i), i);
      if (i % STEP_ITEMS === 0) yield;
    }
    const stacks = uint32Column();
    const count = this.#sampleStarts.length;
    const stackStarts = new Uint32Array(count + 1);
    const ids = this.#sampleLocations;
    let stepEnd = STEP_FRAMES;
    for (let i = 0; i < count; i++) {
      const end = i + 1 < count ? this.#sampleStarts.at(i + 1) : ids.length;
      for (let at = this.#sampleStarts.at(i); at < end; at++) {
        const location = locations.get(ids.at(at));
        if (location === undefined) throw new ProfileReadError('malformed: a location is missing');
        const last = starts[location + 1] as number;
        for (let frame = starts[location] as number; frame < last; frame++) stacks.push(frame);
        // Few bytes can stand for endless frames: many stacks may name a location with many lines.
        const depth = stacks.length - (stackStarts[i] as number);
        if (depth > MAX_DEPTH) limit(depth, 'frames in one stack');
        if (stacks.length > MAX_OF.frames) limit(stacks.length, 'frames');
      }
      stackStarts[i + 1] = stacks.length;
      if (stacks.length + i < stepEnd) continue;
      stepEnd = stacks.length + i + STEP_FRAMES;
      yield;
    }
    return { stackStarts, stacks: yield* stacks.take() };
  }

  #text(index: number | undefined): string {
    const text = this.#strings[index as number];
    if (text === undefined) throw new ProfileReadError('malformed: a string is missing');
    return text;
  }
}

/** Returns an address, read as a signed number, in hexadecimal: kernels' addresses have the top bit set. */
function addressName(address: number): string {
  const unsigned = address < 0 ? BigInt.asUintN(64, BigInt(address)) : address;
  return `0x${unsigned.toString(16)}`;
}

/** Distinguishes the functions of a file that have no name: functions are known by name and file. */
function named(name: string, startLine: number): string {
  return name === '(anonymous)' && startLine > 0 ? `(anonymous:${String(startLine)})` : name;
}
