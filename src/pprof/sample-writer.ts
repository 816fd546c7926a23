/** Encodes the samples of a pprof profile; encodes each stack and each label set once. */
import { Label, Sample } from 'pprof-format';
import { writeHead } from './field-list.js';
import type { Labels } from '../util/labels.js';
import type { StringList } from './string-list.js';

/** In Profile: `repeated Sample sample = 2`. In Sample: `repeated Label label = 3`. */
const SAMPLE_TAG = (2 << 3) | 2;
const LABEL_TAG = (3 << 3) | 2;
/** Bytes of a tag and a length. */
const MAX_HEAD_BYTES = 1 + 5;
const CHUNK_BYTES = 16_384;

/** Parts that samples share: stacks as location ids, leaf first, and label sets, by their numbers. */
export interface SharedParts {
  readonly stacks: readonly number[][];
  /** Undefined for a set without labels. */
  readonly labels: readonly (Labels | undefined)[];
}

/** The bytes of fields that an earlier sample has. */
interface WrittenFields {
  readonly chunk: Uint8Array;
  readonly begin: number;
  readonly end: number;
}

/**
 * A message is the concatenation of its fields. So pprof-format encodes each stack, value and label
 * set once, and its bytes are copied to the samples that share it. To encode a message for every
 * sample was most of the cost of a profile.
 */
export class SampleWriter {
  readonly #strings: StringList;
  readonly #periodNanos: number;
  readonly #stacks: readonly number[][];
  readonly #labels: readonly (Labels | undefined)[];
  // Filled: with empty arrays V8 would have to learn the kind of their elements in every profile.
  readonly #writtenStacks: (WrittenFields | undefined)[];
  readonly #writtenLabels: (WrittenFields | undefined)[];
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
    this.#writtenStacks = new Array<WrittenFields | undefined>(stacks.length).fill(undefined);
    this.#writtenLabels = new Array<WrittenFields | undefined>(labels.length).fill(undefined);
  }

  write(stack: number, label: number, weight: number): void {
    const writtenStack = this.#writtenStacks[stack];
    const writtenLabel = this.#writtenLabels[label];
    const newStack =
      writtenStack === undefined
        ? new Sample({ locationId: this.#stacks[stack] as number[] })
        : undefined;
    const newLabels =
      writtenLabel === undefined ? this.#messagesOf(this.#labels[label]) : undefined;
    const value = this.#valueOf(weight);
    const length =
      value.length +
      (newStack?.length ?? lengthOf(writtenStack)) +
      (newLabels === undefined ? lengthOf(writtenLabel) : lengthOfAll(newLabels));

    const chunk = this.#reserve(MAX_HEAD_BYTES + length);
    let at = writeHead(chunk, this.#used, SAMPLE_TAG, length);
    let begin = at;
    if (newStack === undefined) {
      at = copy(writtenStack, chunk, at);
    } else {
      at = newStack._encodeToBuffer(chunk, at);
      this.#writtenStacks[stack] = { chunk, begin, end: at };
    }
    chunk.set(value, at);
    at += value.length;
    begin = at;
    if (newLabels === undefined) {
      at = copy(writtenLabel, chunk, at);
    } else {
      for (const message of newLabels) {
        at = writeHead(chunk, at, LABEL_TAG, message.length);
        at = message._encodeToBuffer(chunk, at);
      }
      this.#writtenLabels[label] = { chunk, begin, end: at };
    }
    this.#used = at;
  }

  /** Returns all samples as parts. Nothing may be written afterwards. */
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

function lengthOf(written: WrittenFields | undefined): number {
  return written === undefined ? 0 : written.end - written.begin;
}

/** Returns the length of labels as fields, each with a tag and a length of one byte. */
function lengthOfAll(messages: Label[]): number {
  let length = 0;
  for (const message of messages) length += 2 + message.length;
  return length;
}

function copy(written: WrittenFields | undefined, chunk: Uint8Array, at: number): number {
  if (written === undefined) return at;
  chunk.set(written.chunk.subarray(written.begin, written.end), at);
  return at + written.end - written.begin;
}
