/** A profile as the command line and the viewer look at it: columns of numbers, so that 50,000 samples are little. */

export interface ValueType {
  /** Such as `cpu`. */
  readonly type: string;
  /** Such as `nanoseconds`. */
  readonly unit: string;
}

export type LabelSet = ReadonlyMap<string, string>;

/** Sample `i` has `values[i]`, the labels `labelSets[labelSetOf[i]]` and a stack. */
export interface Profile {
  /** What `values` are. */
  readonly valueType: ValueType;
  /** Begin of the window in nanoseconds since 1970, 0 for unknown. */
  readonly timeNanos: number;
  /** Length of the window in nanoseconds, 0 for unknown. */
  readonly durationNanos: number;
  /** Names by function. */
  readonly names: readonly string[];
  /** Files by function, '' for unknown. */
  readonly files: readonly string[];
  /** Functions by frame. */
  readonly functionOf: Uint32Array;
  /** The line that runs by frame, 0 for unknown. */
  readonly lineOf: Float64Array;
  readonly values: Float64Array;
  /** The frames of sample `i`, leaf first: `stacks.subarray(stackStarts[i], stackStarts[i + 1])`. */
  readonly stackStarts: Uint32Array;
  readonly stacks: Uint32Array;
  readonly labelSetOf: Uint32Array;
  /** Different from each other; the first is empty. */
  readonly labelSets: readonly LabelSet[];
}

/** A list of numbers that grows; a plain array of doubles would take the double of the memory. */
export class NumberColumn<A extends Uint32Array | Float64Array> {
  length = 0;
  readonly #create: (size: number) => A;
  #values: A;

  constructor(create: (size: number) => A) {
    this.#create = create;
    this.#values = create(64);
  }

  push(value: number): void {
    if (this.length === this.#values.length) {
      const grown = this.#create(2 * this.length);
      grown.set(this.#values);
      this.#values = grown;
    }
    this.#values[this.length++] = value;
  }

  /** A view of what was pushed. */
  get values(): A {
    return this.#values.subarray(0, this.length) as A;
  }
}

/** A column of 32-bit numbers without sign. */
export function uint32Column(): NumberColumn<Uint32Array> {
  return new NumberColumn((size) => new Uint32Array(size));
}

/** A column of doubles. */
export function float64Column(): NumberColumn<Float64Array> {
  return new NumberColumn((size) => new Float64Array(size));
}

/** Numbers label sets: equal ones get the same number, the empty one 0. */
export class LabelSetTable {
  readonly sets: LabelSet[] = [new Map()];
  readonly #numbers = new Map<string, number>([['[]', 0]]);

  number(labels: LabelSet): number {
    if (labels.size === 0) return 0;
    const key = JSON.stringify([...labels].sort(([a], [b]) => (a < b ? -1 : 1)));
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const number = this.sets.push(labels) - 1;
    this.#numbers.set(key, number);
    return number;
  }
}

/** Several windows as one profile. They must have been taken of the same kind of value. */
export function mergeProfiles(profiles: readonly Profile[]): Profile {
  const [only] = profiles;
  if (only !== undefined && profiles.length === 1) return only;
  const names: string[] = [];
  const files: string[] = [];
  const functionNumbers = new Map<string, number>();
  const frameNumbers = new Map<string, number>();
  const functionOf = uint32Column();
  const lineOf = float64Column();
  const values = float64Column();
  const stackStarts = uint32Column();
  const stacks = uint32Column();
  const labelSetOf = uint32Column();
  const labelSets = new LabelSetTable();
  stackStarts.push(0);
  for (const profile of profiles) {
    const functions = profile.names.map((name, index) => {
      const file = profile.files[index] as string;
      return numberOf(functionNumbers, `${name}\0${file}`, () => {
        files.push(file);
        return names.push(name) - 1;
      });
    });
    const frames = Array.from(profile.functionOf, (own, index) => {
      const merged = functions[own] as number;
      const line = profile.lineOf[index] as number;
      return numberOf(frameNumbers, `${String(merged)}:${String(line)}`, () => {
        functionOf.push(merged);
        lineOf.push(line);
        return functionOf.length - 1;
      });
    });
    const sets = profile.labelSets.map((labels) => labelSets.number(labels));
    profile.values.forEach((value, sample) => {
      values.push(value);
      labelSetOf.push(sets[profile.labelSetOf[sample] as number] as number);
      const end = profile.stackStarts[sample + 1] as number;
      for (let at = profile.stackStarts[sample] as number; at < end; at++) {
        stacks.push(frames[profile.stacks[at] as number] as number);
      }
      stackStarts.push(stacks.length);
    });
  }
  const begin = Math.min(...profiles.map((profile) => profile.timeNanos));
  const end = Math.max(...profiles.map((profile) => profile.timeNanos + profile.durationNanos));
  return {
    valueType: only?.valueType ?? { type: 'cpu', unit: 'nanoseconds' },
    timeNanos: profiles.length === 0 ? 0 : begin,
    durationNanos: profiles.length === 0 ? 0 : end - begin,
    names,
    files,
    functionOf: functionOf.values,
    lineOf: lineOf.values,
    values: values.values,
    stackStarts: stackStarts.values,
    stacks: stacks.values,
    labelSetOf: labelSetOf.values,
    labelSets: labelSets.sets,
  };
}

function numberOf(known: Map<string, number>, key: string, create: () => number): number {
  const number = known.get(key) ?? create();
  known.set(key, number);
  return number;
}
