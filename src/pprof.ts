/** Turns samples into a pprof profile: pure, from numbers to bytes. */
import { fileURLToPath } from 'node:url';
import {
  emptyTableToken,
  Function as PprofFunction,
  Location,
  Profile,
  Sample,
  StringTable,
  ValueType,
  type ProfileInput,
} from 'pprof-format';
import { atOnce } from './slices.js';

/** Samples as the sampler counts them, their label ids already resolved. */
export interface SampleBatch {
  /** Of function `i`: its name at `2 * i` and its URL ('' for none) at `2 * i + 1`. */
  readonly names: readonly string[];
  /** Of function `i`: the 1-based line where it starts, 0 for unknown. */
  readonly startLines: Uint32Array;
  /** Of function `i`: the 1-based column where it starts, 0 for unknown. */
  readonly startColumns: Uint32Array;
  /** Of frame `i`: its function at `2 * i`, and at `2 * i + 1` the 1-based line, 0 for unknown. */
  readonly frames: Uint32Array;
  /** Records of weight, number n of frames, label id and n frame numbers, leaf first. */
  readonly stacks: Uint32Array;
  /** The labels behind the label ids; an id that is missing has none. */
  readonly labels: ReadonlyMap<number, Labels>;
}

/** A function at the place in its file where it begins. */
export interface SourceFunction {
  readonly name: string;
  /** '' for none. */
  readonly url: string;
  /** 1-based, 0 for unknown; the same for `column`. */
  readonly line: number;
  readonly column: number;
}

/** Where compiled code comes from (source-maps.ts). */
export interface OriginalPositions {
  /** The original of a function; the function itself where that is not known. */
  functionAt(compiled: SourceFunction): SourceFunction;
  /**
   * The original line of a place in a function, in the file of the function's original; undefined
   * where that is not known. `column` is 0 where only the line is known.
   */
  lineAt(compiled: SourceFunction, line: number, column: number): number | undefined;
}

type Labels = Readonly<Record<string, string>>;

export interface ProfileTimes {
  /** Begin of the window, in nanoseconds since 1970. */
  readonly startNanos: bigint;
  /** Length of the window in nanoseconds. */
  readonly durationNanos: bigint;
  /** CPU time that one sample stands for, in nanoseconds. */
  readonly periodNanos: number;
  /** Where given, names, files and lines are the original ones. */
  readonly originals?: OriginalPositions | undefined;
}

/**
 * Different stacks with labels that one window keeps. What comes after goes to one stack
 * "(stack table full)" per label set, and without labels beyond twice this number.
 */
const MAX_STACKS = 65_536;

/** Words of stacks that wait to be merged, 4 bytes each; what comes then is merged at once. */
const MAX_WAITING_WORDS = 262_144;
/** Messages of a kind that are encoded in one step. */
const STEP_MESSAGES = 8;

const STACK_TABLE_FULL = { name: '(stack table full)', url: '', line: 0, column: 0 };

interface Stack {
  readonly locationIds: number[];
  readonly labels: Labels | undefined;
  weight: number;
}

interface FunctionLine {
  readonly functionId: number;
  readonly line: number;
}

/**
 * The samples of one window, from any number of batches, as one profile: format
 * https://github.com/google/pprof/blob/main/proto/profile.proto
 */
export class ProfileBuilder {
  readonly #strings = new StringTable();
  /** By id - 1: 0 is not a valid id. */
  readonly #functions: SourceFunction[] = [];
  readonly #locations: FunctionLine[] = [];
  /** Function ids by name, file and start. */
  readonly #functionIds = new Map<string, number>();
  /** Location ids by function and line. */
  readonly #locationIds = new Map<string, number>();
  readonly #labelNumbers = new Map<Labels, number>();
  readonly #stacks = new Map<string, Stack>();
  readonly #lineNumbers: boolean;
  /** Not merged yet. */
  readonly #waiting: SampleBatch[] = [];
  #waitingWords = 0;

  /** Without `lineNumbers` frames are their functions: each is where its function starts. */
  constructor(lineNumbers = true) {
    this.#lineNumbers = lineNumbers;
  }

  add(batch: SampleBatch): void {
    this.#waiting.push(batch);
    this.#waitingWords += batch.stacks.length;
    while (this.#waitingWords > MAX_WAITING_WORDS) atOnce(this.#mergeNext());
  }

  /** Merges what was added; in steps, as `encode`. */
  *merge(): Generator<void, void> {
    while (this.#waiting.length > 0) yield* this.#mergeNext();
  }

  /** The files that functions of merged samples are in, each at least once. */
  *urls(): Generator<string> {
    for (const { url } of this.#functions) if (url !== '') yield url;
  }

  /**
   * The bytes of what was merged, not compressed: messages of a profile, one after the other, are
   * one profile (https://protobuf.dev/programming-guides/encoding/#last-one-wins).
   */
  *encode(times: ProfileTimes): Generator<void, Uint8Array> {
    const { originals } = times;
    const parts: Uint8Array[] = [];
    yield* encodeInSteps(parts, this.#stacks.values(), (stacks) => ({
      sample: stacks.map((stack) => this.#encodeSample(stack, times.periodNanos)),
    }));
    yield* encodeInSteps(parts, this.#locations.entries(), (locations) => ({
      location: locations.map((location) => this.#encodeLocation(location, originals)),
    }));
    yield* encodeInSteps(parts, this.#functions.entries(), (functions) => ({
      function: functions.map((compiled) => this.#encodeFunction(compiled, originals)),
    }));
    const strings = this.#strings;
    const value = (type: string, unit: string): ValueType =>
      new ValueType({ type: strings.dedup(type), unit: strings.dedup(unit) });
    const head = new Profile({
      sampleType: [value('samples', 'count'), value('cpu', 'nanoseconds')],
      stringTable: strings,
      timeNanos: times.startNanos,
      durationNanos: times.durationNanos,
      periodType: value('cpu', 'nanoseconds'),
      period: times.periodNanos,
    });
    return Buffer.concat([head.encode(), ...parts]);
  }

  *#mergeNext(): Generator<void, void> {
    const batch = this.#waiting.shift() as SampleBatch;
    const { stacks } = batch;
    this.#waitingWords -= stacks.length;
    const ids = this.#locationsOf(batch);
    let at = 0;
    while (at < stacks.length) {
      yield;
      const weight = stacks[at] as number;
      const begin = at + 3;
      const end = begin + (stacks[at + 1] as number);
      this.#addStack(
        ids,
        stacks.subarray(begin, end),
        batch.labels.get(stacks[at + 2] as number),
        weight,
      );
      at = end;
    }
  }

  #addStack(
    ids: Uint32Array,
    frames: Uint32Array,
    labels: Labels | undefined,
    weight: number,
  ): void {
    const locationIds: number[] = [];
    // Each id as two UTF-16 units: the shortest key there is for a Map.
    let key = labels === undefined ? '' : String(this.#labelNumber(labels));
    key += ':';
    for (const number of frames) {
      const id = ids[number] as number;
      locationIds.push(id);
      key += String.fromCharCode(id & 0xffff, id >>> 16);
    }
    const known = this.#stacks.get(key);
    if (known !== undefined) {
      known.weight += weight;
    } else if (this.#stacks.size < MAX_STACKS) {
      this.#stacks.set(key, { locationIds, labels, weight });
    } else {
      this.#addOverflow(labels, weight);
    }
  }

  #addOverflow(labels: Labels | undefined, weight: number): void {
    const keep = this.#stacks.size < 2 * MAX_STACKS ? labels : undefined;
    const key = `${keep === undefined ? '' : String(this.#labelNumber(keep))}:full`;
    const known = this.#stacks.get(key);
    if (known !== undefined) {
      known.weight += weight;
    } else {
      this.#stacks.set(key, {
        locationIds: [this.#locationId(this.#functionId(STACK_TABLE_FULL), 0)],
        labels: keep,
        weight,
      });
    }
  }

  #labelNumber(labels: Labels): number {
    const known = this.#labelNumbers.get(labels);
    if (known !== undefined) return known;
    const number = this.#labelNumbers.size;
    this.#labelNumbers.set(labels, number);
    return number;
  }

  /** The profile's location ids, by the batch's frame numbers. */
  #locationsOf({ names, startLines, startColumns, frames }: SampleBatch): Uint32Array {
    const functionIds = new Uint32Array(startLines.length);
    for (let i = 0; i < functionIds.length; i++) {
      functionIds[i] = this.#functionId({
        name: names[2 * i] as string,
        url: names[2 * i + 1] as string,
        line: startLines[i] as number,
        column: startColumns[i] as number,
      });
    }
    const ids = new Uint32Array(frames.length / 2);
    for (let i = 0; i < ids.length; i++) {
      const functionId = functionIds[frames[2 * i] as number] as number;
      ids[i] = this.#locationId(functionId, this.#lineNumbers ? (frames[2 * i + 1] as number) : 0);
    }
    return ids;
  }

  #locationId(functionId: number, line: number): number {
    const key = `${String(functionId)}:${String(line)}`;
    const known = this.#locationIds.get(key);
    if (known !== undefined) return known;
    const id = this.#locations.push({ functionId, line });
    this.#locationIds.set(key, id);
    return id;
  }

  #functionId(found: SourceFunction): number {
    const { name, url, line, column } = found;
    const key = `${name}\0${url}\0${String(line)}:${String(column)}`;
    const known = this.#functionIds.get(key);
    if (known !== undefined) return known;
    const id = this.#functions.push(found);
    this.#functionIds.set(key, id);
    return id;
  }

  #encodeSample({ locationIds, labels, weight }: Stack, periodNanos: number): Sample {
    const label = Object.entries(labels ?? {}).map(([key, text]) => ({
      key: this.#strings.dedup(key),
      str: this.#strings.dedup(text),
    }));
    return new Sample({ locationId: locationIds, value: [weight, weight * periodNanos], label });
  }

  #encodeFunction(
    [index, compiled]: readonly [number, SourceFunction],
    originals: OriginalPositions | undefined,
  ): PprofFunction {
    const { name, url, line } = originals?.functionAt(compiled) ?? compiled;
    const nameIndex = this.#strings.dedup(name);
    return new PprofFunction({
      id: index + 1,
      name: nameIndex,
      systemName: nameIndex,
      filename: this.#strings.dedup(fileName(url)),
      startLine: line,
    });
  }

  #encodeLocation(
    [index, { functionId, line }]: readonly [number, FunctionLine],
    originals: OriginalPositions | undefined,
  ): Location {
    const compiled = this.#functions[functionId - 1] as SourceFunction;
    const at = (found: number): Location =>
      new Location({ id: index + 1, line: [{ functionId, line: found }] });
    if (!this.#lineNumbers) return at((originals?.functionAt(compiled) ?? compiled).line);
    // The sampler tells the line alone, not the column in it.
    return at((line === 0 ? undefined : originals?.lineAt(compiled, line, 0)) ?? line);
  }
}

function* encodeInSteps<Item>(
  parts: Uint8Array[],
  items: Iterable<Item>,
  toMessages: (items: Item[]) => ProfileInput,
): Generator<void, void> {
  let step: Item[] = [];
  const encode = (): void => {
    const stringTable = new StringTable(emptyTableToken);
    parts.push(new Profile({ ...toMessages(step), stringTable }).encode());
    step = [];
  };
  for (const item of items) {
    if (step.push(item) < STEP_MESSAGES) continue;
    encode();
    yield;
  }
  encode();
}

/** `file:` URLs as paths; everything else (`node:fs`, a path, `evalmachine.<anonymous>`) as it is. */
function fileName(url: string): string {
  if (!url.startsWith('file:')) return url;
  try {
    return fileURLToPath(url);
  } catch {
    return url;
  }
}
