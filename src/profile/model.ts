/** A decoded profile for the command line and the viewer, in columns of numbers, so that 50,000 samples need little memory. */
import type { ValueType } from '../util/profile-types.js';
import { GrowingMap } from '../util/growing-maps.js';

export type ProfileLabels = ReadonlyMap<string, string>;

/** Sample `i` has `values[i]`, the labels `labelSets[labelSetOf[i]]` and a stack. */
export interface Profile {
  /** Type and unit of `values`. */
  readonly valueType: ValueType;
  /** Start of the window in nanoseconds since 1970, 0 for unknown. */
  readonly timeNanos: number;
  /** Length of the window in nanoseconds, 0 for unknown. */
  readonly durationNanos: number;
  /** Names by function. */
  readonly names: readonly string[];
  /** Files by function, '' for unknown. */
  readonly files: readonly string[];
  /** Functions by frame. */
  readonly functionOf: Uint32Array;
  /** Lines by frame, 0 for unknown. */
  readonly lineOf: Float64Array;
  readonly values: Float64Array;
  /** The frames of sample `i`, leaf first: `stacks.subarray(stackStarts[i], stackStarts[i + 1])`. */
  readonly stackStarts: Uint32Array;
  readonly stacks: Uint32Array;
  readonly labelSetOf: Uint32Array;
  /** All different; the first is empty. */
  readonly labelSets: readonly ProfileLabels[];
}

/** A piece of a column has 2 ** PIECE_BITS numbers. */
const PIECE_BITS = 16;
const PIECE = 2 ** PIECE_BITS;
/** Entries that are merged in one step. */
const STEP_ITEMS = 64;

/**
 * A growing list of numbers; a plain array of doubles would need twice the memory. It grows by
 * pieces, because to copy a long list takes milliseconds.
 */
export class NumberColumn<A extends Uint32Array | Float64Array> {
  length = 0;
  readonly #create: (size: number) => A;
  readonly #pieces: A[];
  #last: A;

  constructor(create: (size: number) => A) {
    this.#create = create;
    this.#last = create(64);
    this.#pieces = [this.#last];
  }

  push(value: number): void {
    const at = this.length++ & (PIECE - 1);
    if (at === this.#last.length || (at === 0 && this.length > 1)) this.#grow();
    this.#last[at] = value;
  }

  /** Returns the number at `index`, which must be less than `length`. */
  at(index: number): number {
    return (this.#pieces[index >>> PIECE_BITS] as A)[index & (PIECE - 1)] as number;
  }

  /** Returns all numbers as one array, in steps, and empties the column. */
  *take(): Generator<void, A> {
    const whole = this.#create(this.length);
    let at = 0;
    for (let i = 0; i < this.#pieces.length; i++) {
      const piece = this.#pieces[i] as A;
      whole.set(piece.subarray(0, this.length - at), at);
      at += piece.length;
      this.#pieces[i] = this.#create(0);
      yield;
    }
    this.length = 0;
    this.#last = this.#create(64);
    this.#pieces.splice(0, Infinity, this.#last);
    return whole;
  }

  /** The first piece doubles until it is as long as the others. */
  #grow(): void {
    const isFirst = this.length <= PIECE;
    const grown = this.#create(isFirst ? 2 * this.#last.length : PIECE);
    if (isFirst) {
      grown.set(this.#last);
      this.#pieces.pop();
    }
    this.#pieces.push(grown);
    this.#last = grown;
  }
}

/** Creates a column of unsigned 32-bit numbers. */
export function uint32Column(): NumberColumn<Uint32Array> {
  return new NumberColumn((size) => new Uint32Array(size));
}

/** Creates a column of doubles. */
export function float64Column(): NumberColumn<Float64Array> {
  return new NumberColumn((size) => new Float64Array(size));
}

/** Gives label sets numbers: equal sets get the same number, the empty set 0. */
export class ProfileLabelsTable {
  readonly sets: ProfileLabels[] = [new Map()];
  readonly #numbers = new GrowingMap<string, number>();

  number(labels: ProfileLabels): number {
    if (labels.size === 0) return 0;
    const key = JSON.stringify([...labels].sort(([a], [b]) => (a < b ? -1 : 1)));
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const number = this.sets.push(labels) - 1;
    this.#numbers.add(key, number);
    return number;
  }
}

/** Merges profiles, which must all have values of `valueType`, into one, in steps. */
export function* mergeProfiles(
  valueType: ValueType,
  profiles: readonly Profile[],
): Generator<void, Profile> {
  const [only] = profiles;
  if (only !== undefined && profiles.length === 1) return only;
  const merge = new Merge();
  for (const profile of profiles) yield* merge.add(profile);
  const begins = profiles.map(({ timeNanos }) => timeNanos);
  const ends = profiles.map(({ timeNanos, durationNanos }) => timeNanos + durationNanos);
  const timeNanos = profiles.length === 0 ? 0 : Math.min(...begins);
  return {
    valueType,
    timeNanos,
    durationNanos: profiles.length === 0 ? 0 : Math.max(...ends) - timeNanos,
    ...(yield* merge.columns()),
  };
}

/** The columns of a merged profile. */
class Merge {
  readonly #names: string[] = [];
  readonly #files: string[] = [];
  readonly #functionNumbers = new GrowingMap<string, number>();
  /** For each function, frames by line. */
  readonly #frameNumbers: Map<number, number>[] = [];
  readonly #functionOf = uint32Column();
  readonly #lineOf = float64Column();
  readonly #values = float64Column();
  readonly #stackStarts = uint32Column();
  readonly #stacks = uint32Column();
  readonly #labelSetOf = uint32Column();
  readonly #labelSets = new ProfileLabelsTable();

  constructor() {
    this.#stackStarts.push(0);
  }

  *add(profile: Profile): Generator<void, void> {
    const frames = yield* this.#framesOf(profile, yield* this.#functionsOf(profile));
    const sets = new Uint32Array(profile.labelSets.length);
    for (const [index, labels] of profile.labelSets.entries()) {
      sets[index] = this.#labelSets.number(labels);
      if (index % STEP_ITEMS === 0) yield;
    }
    for (let sample = 0; sample < profile.values.length; sample++) {
      this.#values.push(profile.values[sample] as number);
      this.#labelSetOf.push(sets[profile.labelSetOf[sample] as number] as number);
      const end = profile.stackStarts[sample + 1] as number;
      for (let at = profile.stackStarts[sample] as number; at < end; at++) {
        this.#stacks.push(frames[profile.stacks[at] as number] as number);
      }
      this.#stackStarts.push(this.#stacks.length);
      if (sample % STEP_ITEMS === 0) yield;
    }
  }

  *columns(): Generator<void, Omit<Profile, 'valueType' | 'timeNanos' | 'durationNanos'>> {
    return {
      names: this.#names,
      files: this.#files,
      functionOf: yield* this.#functionOf.take(),
      lineOf: yield* this.#lineOf.take(),
      values: yield* this.#values.take(),
      stackStarts: yield* this.#stackStarts.take(),
      stacks: yield* this.#stacks.take(),
      labelSetOf: yield* this.#labelSetOf.take(),
      labelSets: this.#labelSets.sets,
    };
  }

  /** Returns the merged functions by those of the profile. */
  *#functionsOf({ names, files }: Profile): Generator<void, Uint32Array> {
    const functions = new Uint32Array(names.length);
    for (const [index, name] of names.entries()) {
      const file = files[index] as string;
      const key = `${name}\0${file}`;
      let number = this.#functionNumbers.get(key);
      if (number === undefined) {
        number = this.#names.push(name) - 1;
        this.#files.push(file);
        this.#frameNumbers.push(new Map());
        this.#functionNumbers.add(key, number);
      }
      functions[index] = number;
      if (index % STEP_ITEMS === 0) yield;
    }
    return functions;
  }

  /** Returns the merged frames by those of the profile. */
  *#framesOf(
    { functionOf, lineOf }: Profile,
    functions: Uint32Array,
  ): Generator<void, Uint32Array> {
    const frames = new Uint32Array(functionOf.length);
    for (let index = 0; index < frames.length; index++) {
      const merged = functions[functionOf[index] as number] as number;
      const line = lineOf[index] as number;
      const ofFunction = this.#frameNumbers[merged] as Map<number, number>;
      let number = ofFunction.get(line);
      if (number === undefined) {
        number = this.#functionOf.length;
        this.#functionOf.push(merged);
        this.#lineOf.push(line);
        ofFunction.set(line, number);
      }
      frames[index] = number;
      if (index % STEP_ITEMS === 0) yield;
    }
    return frames;
  }
}
