/** Builds a pprof profile from samples (pure). */
import type { ProfileType } from '../util/profile-types.js';
import {
  emptyTableToken,
  Function as PprofFunction,
  Location,
  Profile,
  StringTable,
  ValueType,
  type ProfileInput,
} from 'pprof-format';
import { GrowingMap, IdMap } from '../util/growing-maps.js';
import { NumberKey } from '../util/number-key.js';
import { STACK_TABLE_FULL } from '../util/pseudo-frames.js';
import { fileName, type OriginalPositions, type SourceFunction } from './original-positions.js';
import type { Labels } from '../util/labels.js';
import type { SampleBatch } from './sample-batch.js';
import { SampleWriter } from './sample-writer.js';
import { atOnce, joined } from '../util/time-slices.js';
import { StringList } from './string-list.js';

export interface ProfileTimes {
  /** Start of the window, in nanoseconds since 1970. */
  readonly startNanos: bigint;
  /** Length of the window in nanoseconds. */
  readonly durationNanos: bigint;
  /** CPU time that one sample stands for, in nanoseconds. */
  readonly periodNanos: number;
  /** If given, names, files and lines are the original ones. */
  readonly originals?: OriginalPositions | undefined;
}

/**
 * Different stacks with labels that one window keeps. Further ones are added to one stack
 * "(stack table full)" per label set; beyond twice this number, to that without labels.
 */
const MAX_STACKS = 65_536;
/**
 * Different functions, and frames (functions at a line), that one window keeps. A frame "(stack
 * table full)" stands for each further one.
 */
const MAX_FUNCTIONS = 131_072;
const MAX_LOCATIONS = 524_288;

/** Words of stacks, 4 bytes each, that wait to be merged; beyond it, batches are merged at once. */
const MAX_WAITING_WORDS = 262_144;
/** Locations or functions that are encoded in one step. */
const STEP_MESSAGES = 8;
/** Samples, functions or frames that are merged, and samples that are encoded, in one step. */
const STEP_ITEMS = 16;
/** Factor of a label's number in the key of a sample; larger than any stack's number. */
const LABEL_FACTOR = 2 ** 24;
/** In Profile: `repeated string string_table = 6`. */
const STRING_TABLE = 6;
/** Initial room for frames, of 4 bytes each. */
const SCRATCH_FRAMES = 256;

const FULL_FUNCTION = { name: STACK_TABLE_FULL, url: '', line: 0, column: 0 };

interface FunctionLine {
  readonly functionId: number;
  readonly line: number;
  /** 0 for unknown. */
  readonly column: number;
}

/**
 * Source maps find the original line by the compiled line alone, unless the compiled text has many
 * lines in one: then the column is kept. That is so in lines that are longer than this, and in a
 * function's first line.
 */
const LONG_COLUMN = 255;
/** Factor of a column in the key of a location; larger columns are left out, so that keys are exact. */
const COLUMN_FACTOR = 2 ** 32;
const MAX_COLUMN = 2 ** 20;

/** How frames are written; see the constructor. */
export interface BuilderOptions {
  readonly lineNumbers?: boolean;
  readonly isMapped?: boolean;
  readonly fileOf?: (path: string) => string;
  readonly maxStacks?: number;
}

/**
 * Builds one profile from the batches of a window: format
 * https://github.com/google/pprof/blob/main/proto/profile.proto
 */
export class ProfileBuilder {
  readonly #strings = new StringList(STRING_TABLE);
  /** Functions and locations by id - 1: 0 is not a valid id. */
  readonly #functions: SourceFunction[] = [];
  readonly #locations: FunctionLine[] = [];
  /** Function ids by name, file and start. */
  readonly #functionIds = new GrowingMap<string, number>();
  /** Location ids by line and column, by function id - 1. */
  readonly #locationIds: Map<number, number>[] = [];
  /** The different stacks as location ids, leaf first, and their numbers by the bytes of these ids. */
  readonly #stacks: number[][] = [];
  readonly #stackNumbers = new GrowingMap<string, number>();
  /** Label sets; their numbers begin at 1, as 0 means none. */
  readonly #labels: (Labels | undefined)[] = [undefined];
  readonly #labelNumbers = new GrowingMap<Labels, number>();
  /** Stack, label and weight of each sample, and their numbers by label and stack. */
  readonly #samples: { stack: number[]; label: number[]; weight: number[] } = {
    stack: [],
    label: [],
    weight: [],
  };
  readonly #sampleNumbers = new IdMap();
  #scratch = new NumberKey(SCRATCH_FRAMES);
  /** Number of the stack "(stack table full)". */
  #fullStack: number | undefined;
  /** Id of the function "(stack table full)". */
  #fullFunction: number | undefined;
  readonly #type: ProfileType;
  readonly #lineNumbers: boolean;
  readonly #fileOf: (path: string) => string;
  readonly #isMapped: boolean;
  /** Batches that are not merged yet. */
  readonly #waiting: SampleBatch[] = [];
  #waitingWords = 0;
  readonly #maxStacks: number;

  /**
   * Without `lineNumbers` a frame has the line where its function starts. `fileOf` returns a
   * function's file as the profile shows it, or ''. `isMapped`: `encode` is given original
   * positions, which need the columns of frames where a line alone is not enough. `maxStacks`
   * replaces `MAX_STACKS`.
   */
  constructor(type: ProfileType, options: BuilderOptions = {}) {
    const { lineNumbers = true, isMapped = false } = options;
    const { fileOf = (path): string => path, maxStacks = MAX_STACKS } = options;
    this.#type = type;
    this.#lineNumbers = lineNumbers;
    this.#isMapped = isMapped;
    this.#fileOf = fileOf;
    this.#maxStacks = maxStacks;
  }

  add(batch: SampleBatch): void {
    this.#waiting.push(batch);
    this.#waitingWords += batch.stacks.length;
    while (this.#waitingWords > MAX_WAITING_WORDS) atOnce(this.#mergeNext());
  }

  /** Merges the added batches, in steps. */
  *merge(): Generator<void, void> {
    while (this.#waiting.length > 0) yield* this.#mergeNext();
  }

  /** Returns the files of the merged functions, each at least once. */
  *urls(): Generator<string> {
    for (const { url } of this.#functions) if (url !== '') yield url;
  }

  /** Returns the numbers of the source maps of the merged functions, each at least once. */
  *sourceMaps(): Generator<number> {
    for (const { sourceMap } of this.#functions) if (sourceMap) yield sourceMap;
  }

  /**
   * Encodes the merged samples in steps, not compressed: the concatenation of encoded Profile
   * messages is one profile (https://protobuf.dev/programming-guides/encoding/#last-one-wins).
   */
  *encode(times: ProfileTimes): Generator<void, Uint8Array> {
    const { originals } = times;
    const parts = [this.#encodeHead(times)];
    yield* this.#encodeSamples(parts, times.periodNanos);
    yield* encodeInSteps(parts, this.#locations.entries(), (locations) => ({
      location: locations.map((location) => this.#encodeLocation(location, originals)),
    }));
    yield* encodeInSteps(parts, this.#functions.entries(), (functions) => ({
      function: functions.map((compiled) => this.#encodeFunction(compiled, originals)),
    }));
    // Last, when the table is complete.
    parts.push(...this.#strings.parts());
    return yield* joined(parts);
  }

  /**
   * Called first, and with times as numbers, exact to 256 ns: V8 optimizes the encoder for the numbers
   * that it has seen, and would have to do so again after the only large ones, or after any bigint.
   */
  #encodeHead({ startNanos, durationNanos, periodNanos }: ProfileTimes): Uint8Array {
    const { count, main } = this.#type;
    const value = ({ type, unit }: { type: string; unit: string }): ValueType =>
      new ValueType({ type: this.#strings.dedup(type), unit: this.#strings.dedup(unit) });
    return new Profile({
      sampleType: [value(count), value(main)],
      stringTable: new StringTable(emptyTableToken),
      timeNanos: Number(startNanos),
      durationNanos: Number(durationNanos),
      periodType: value(main),
      period: periodNanos,
    }).encode();
  }

  *#mergeNext(): Generator<void, void> {
    const batch = this.#waiting.shift() as SampleBatch;
    const { stacks } = batch;
    this.#waitingWords -= stacks.length;
    const ids = yield* this.#locationsOf(batch);
    for (let at = 0; at < stacks.length;) {
      at = this.#mergeStep(batch, ids, at);
      yield;
    }
  }

  /** Merges some samples from `begin` on; returns the index of the next one. */
  #mergeStep({ stacks, labels }: SampleBatch, ids: Uint32Array, begin: number): number {
    let at = begin;
    for (let i = 0; i < STEP_ITEMS && at < stacks.length; i++) {
      const weight = stacks[at] as number;
      const end = at + 3 + (stacks[at + 1] as number);
      const label = this.#labelNumber(labels.get(stacks[at + 2] as number));
      this.#addSample(this.#stackNumber(stacks, at + 3, end, ids), label, weight);
      at = end;
    }
    return at;
  }

  #addSample(stack: number, label: number, weight: number): void {
    if (stack >= 0 && this.#addWeight(stack, label, weight, this.#maxStacks)) return;
    const kept = this.#samples.weight.length < 2 * this.#maxStacks ? label : 0;
    this.#fullStack ??= this.#stacks.push([this.#locationId(this.#fullFunctionId(), 0)]) - 1;
    this.#addWeight(this.#fullStack, kept, weight, Infinity);
  }

  /** Adds to a sample. Returns false if a new sample would exceed `limit`. */
  #addWeight(stack: number, label: number, weight: number, limit: number): boolean {
    const key = label * LABEL_FACTOR + stack;
    const samples = this.#samples;
    const known = this.#sampleNumbers.get(key);
    if (known !== undefined) {
      (samples.weight[known] as number) += weight;
      return true;
    }
    if (this.#samples.weight.length >= limit) return false;
    this.#sampleNumbers.set(key, samples.weight.length);
    samples.stack.push(stack);
    samples.label.push(label);
    samples.weight.push(weight);
    return true;
  }

  #labelNumber(labels: Labels | undefined): number {
    if (labels === undefined) return 0;
    let number = this.#labelNumbers.get(labels);
    if (number === undefined) {
      number = this.#labels.push(labels) - 1;
      this.#labelNumbers.add(labels, number);
    }
    return number;
  }

  /** Returns the number of a stack, or -1 if it is new and there is no room for another sample. */
  #stackNumber(frames: Uint32Array, begin: number, end: number, ids: Uint32Array): number {
    const count = end - begin;
    if (this.#scratch.ids.length < count) this.#scratch = new NumberKey(2 * count);
    const scratch = this.#scratch;
    for (let i = 0; i < count; i++) scratch.ids[i] = ids[frames[begin + i] as number] as number;
    const key = scratch.keyOf(count);
    let number = this.#stackNumbers.get(key);
    if (number === undefined) {
      if (this.#samples.weight.length >= this.#maxStacks) return -1;
      number = this.#stacks.push(Array.from(scratch.ids.subarray(0, count))) - 1;
      this.#stackNumbers.add(key, number);
    }
    return number;
  }

  /** Returns the profile's location ids, by the batch's frame numbers. */
  *#locationsOf(batch: SampleBatch): Generator<void, Uint32Array> {
    const { names, startLines, startColumns, sourceMaps, frames, frameColumns } = batch;
    const functionIds = new Uint32Array(startLines.length);
    for (let i = 0; i < functionIds.length; i++) {
      functionIds[i] = this.#functionId({
        name: names[2 * i] as string,
        url: names[2 * i + 1] as string,
        line: startLines[i] as number,
        column: startColumns[i] as number,
        sourceMap: this.#isMapped ? sourceMaps?.[i] : undefined,
      });
      if (i % STEP_ITEMS === 0) yield;
    }
    const ids = new Uint32Array(frames.length / 2);
    for (let i = 0; i < ids.length; i++) {
      const functionId = functionIds[frames[2 * i] as number] as number;
      const line = this.#lineNumbers ? (frames[2 * i + 1] as number) : 0;
      const column = this.#isMapped && line !== 0 ? (frameColumns?.[i] ?? 0) : 0;
      ids[i] = this.#locationId(functionId, line, column);
      if (i % STEP_ITEMS === 0) yield;
    }
    return ids;
  }

  #locationId(functionId: number, line: number, anyColumn = 0): number {
    const ofFunction = this.#locationIds[functionId - 1] as Map<number, number>;
    const isNeeded = anyColumn > LONG_COLUMN || line === this.#functions[functionId - 1]?.line;
    const column = isNeeded && anyColumn < MAX_COLUMN ? anyColumn : 0;
    const key = column * COLUMN_FACTOR + line;
    let id = ofFunction.get(key);
    if (id === undefined) {
      if (this.#locations.length >= MAX_LOCATIONS && functionId !== this.#fullFunction) {
        return this.#locationId(this.#fullFunctionId(), 0);
      }
      id = this.#locations.push({ functionId, line, column });
      ofFunction.set(key, id);
    }
    return id;
  }

  #functionId(found: SourceFunction): number {
    const { name, url, line, column, sourceMap = 0 } = found;
    const key = `${name}\0${url}\0${String(line)}:${String(column)}:${String(sourceMap)}`;
    const known = this.#functionIds.get(key);
    if (known !== undefined) return known;
    if (this.#functions.length >= MAX_FUNCTIONS && found !== FULL_FUNCTION) {
      return this.#fullFunctionId();
    }
    const id = this.#functions.push(found);
    this.#locationIds.push(new Map());
    this.#functionIds.add(key, id);
    return id;
  }

  #fullFunctionId(): number {
    return (this.#fullFunction ??= this.#functionId(FULL_FUNCTION));
  }

  *#encodeSamples(parts: Uint8Array[], periodNanos: number): Generator<void, void> {
    const { stack, label, weight } = this.#samples;
    const shared = { stacks: this.#stacks, labels: this.#labels };
    const writer = new SampleWriter(this.#strings, shared, periodNanos);
    for (let i = 0; i < weight.length; i++) {
      writer.write(stack[i] as number, label[i] as number, weight[i] as number);
      if (i % STEP_ITEMS === 0) yield;
    }
    parts.push(...writer.parts());
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
      filename: this.#strings.dedup(this.#fileOf(fileName(url))),
      startLine: line,
    });
  }

  #encodeLocation(
    [index, { functionId, line, column }]: readonly [number, FunctionLine],
    originals: OriginalPositions | undefined,
  ): Location {
    const compiled = this.#functions[functionId - 1] as SourceFunction;
    const at = (found: number): Location =>
      new Location({ id: index + 1, line: [{ functionId, line: found }] });
    if (!this.#lineNumbers) return at((originals?.functionAt(compiled) ?? compiled).line);
    return at((line === 0 ? undefined : originals?.lineAt(compiled, line, column)) ?? line);
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
