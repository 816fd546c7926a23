/** The sample messages of a pprof profile, in which no stack and no label set is encoded twice. */
import { Label, Sample } from 'pprof-format';
import { writeHead } from './field-list.js';
import type { StringList } from './string-list.js';

/** Of Profile: `repeated Sample sample = 2`. Of Sample: `repeated Label label = 3`. */
const SAMPLE_TAG = (2 << 3) | 2;
const LABEL_TAG = (3 << 3) | 2;
/** Bytes of a tag and a length. */
const MAX_HEAD_BYTES = 1 + 5;
const CHUNK_BYTES = 16_384;

type Labels = Readonly<Record<string, string>>;

/** What many samples share: stacks as location ids, leaf first, and label sets, by their numbers. */
export interface SharedParts {
  readonly stacks: readonly number[][];
  /** Undefined: none. */
  readonly labels: readonly (Labels | undefined)[];
}

/** Where fields of a sample were written first. */
interface Place {
  readonly chunk: Uint8Array;
  readonly begin: number;
  readonly end: number;
}

/**
 * A message is the concatenation of its fields. So pprof-format encodes each stack, value and label
 * set once, and samples that share it have its bytes copied: with a message of its own for every
 * sample, most of the cost of a profile was there.
 */
export class SampleWriter {
  readonly #strings: StringList;
  readonly #periodNanos: number;
  readonly #stacks: readonly number[][];
  readonly #labels: readonly (Labels | undefined)[];
  // Filled: V8 would have to learn anew in every profile what is in them.
  readonly #stackPlaces: (Place | undefined)[];
  readonly #labelPlaces: (Place | undefined)[];
  readonly #values = new Map<number, Uint8Array>();
  readonly #names = new Map<string, number>();
  readonly #chunks: Uint8Array[] = [];
  #chunk = new Uint8Array(CHUNK_BYTES);
  #used = 0;

  constructor(strings: StringList, { stacks, labels }: SharedParts, periodNanos: number) {
    this.#strings = strings;
    this.#periodNanos = periodNanos;
    this.#stacks = stacks;
    this.#labels = labels;
    this.#stackPlaces = new Array<Place | undefined>(stacks.length).fill(undefined);
    this.#labelPlaces = new Array<Place | undefined>(labels.length).fill(undefined);
  }

  write(stack: number, label: number, weight: number): void {
    const stackPlace = this.#stackPlaces[stack];
    const labelPlace = this.#labelPlaces[label];
    const newStack =
      stackPlace === undefined
        ? new Sample({ locationId: this.#stacks[stack] as number[] })
        : undefined;
    const newLabels = labelPlace === undefined ? this.#messagesOf(this.#labels[label]) : undefined;
    const value = this.#valueOf(weight);
    const length =
      value.length +
      (newStack?.length ?? lengthOf(stackPlace)) +
      (newLabels === undefined ? lengthOf(labelPlace) : lengthOfAll(newLabels));

    const chunk = this.#reserve(MAX_HEAD_BYTES + length);
    let at = writeHead(chunk, this.#used, SAMPLE_TAG, length);
    let begin = at;
    if (newStack === undefined) {
      at = copy(stackPlace, chunk, at);
    } else {
      at = newStack._encodeToBuffer(chunk, at);
      this.#stackPlaces[stack] = { chunk, begin, end: at };
    }
    chunk.set(value, at);
    at += value.length;
    begin = at;
    if (newLabels === undefined) {
      at = copy(labelPlace, chunk, at);
    } else {
      for (const message of newLabels) {
        at = writeHead(chunk, at, LABEL_TAG, message.length);
        at = message._encodeToBuffer(chunk, at);
      }
      this.#labelPlaces[label] = { chunk, begin, end: at };
    }
    this.#used = at;
  }

  /** All that was written; nothing may be written afterwards. */
  parts(): Uint8Array[] {
    return [...this.#chunks, this.#chunk.subarray(0, this.#used)];
  }

  #reserve(bytes: number): Uint8Array {
    if (this.#used + bytes > this.#chunk.length) {
      this.#chunks.push(this.#chunk.subarray(0, this.#used));
      this.#chunk = new Uint8Array(Math.max(CHUNK_BYTES, bytes));
      this.#used = 0;
    }
    return this.#chunk;
  }

  #valueOf(weight: number): Uint8Array {
    let bytes = this.#values.get(weight);
    if (bytes === undefined) {
      bytes = new Sample({ value: [weight, weight * this.#periodNanos] }).encode();
      this.#values.set(weight, bytes);
    }
    return bytes;
  }

  #messagesOf(labels: Labels | undefined): Label[] {
    const messages: Label[] = [];
    if (labels === undefined) return messages;
    for (const name of Object.keys(labels)) {
      let key = this.#names.get(name);
      if (key === undefined) {
        key = this.#strings.dedup(name);
        this.#names.set(name, key);
      }
      messages.push(new Label({ key, str: this.#strings.dedup(labels[name] as string) }));
    }
    return messages;
  }
}

function lengthOf(place: Place | undefined): number {
  return place === undefined ? 0 : place.end - place.begin;
}

/** Of the labels as fields: a tag each, and a length, for which two numbers need one byte. */
function lengthOfAll(messages: Label[]): number {
  let length = 0;
  for (const message of messages) length += 2 + message.length;
  return length;
}

function copy(place: Place | undefined, chunk: Uint8Array, at: number): number {
  if (place === undefined) return at;
  chunk.set(place.chunk.subarray(place.begin, place.end), at);
  return at + place.end - place.begin;
}
