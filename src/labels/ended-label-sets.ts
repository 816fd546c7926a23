/** Label sets that have ended, stored as numbers and texts so that the collector has little to copy. */
import {
  createLabelSet,
  createUserLabels,
  LabelsOfTrace,
  type LabelSet,
  type UserLabels,
} from './label-set.js';
import { createSpanDetails, isFinal, type SpanDetails } from './span-details.js';

/** The three ids of an entry: of the trace, of the local root, and of the span in `span_id`. */
const TRACE_BYTES = 16;
const SPAN_BYTES = 8;
const ROOT_OFFSET = TRACE_BYTES;
const LABEL_OFFSET = ROOT_OFFSET + SPAN_BYTES;
const BYTES = LABEL_OFFSET + SPAN_BYTES;

const ROOT_SAMPLED = 1;
const HAS_TRACE_LABEL = 2;
/** `span_id` is the local root's id, or that of another span. */
const HAS_ROOT_LABEL = 4;
const HAS_OWN_LABEL = 8;
/** The entry has no ids: it is a set with labels of the user's own alone. */
const IS_USERS = 16;

const HEX_DIGITS = '0123456789abcdef';
const NO_DIGIT = 0xff;
/** Values of hexadecimal digits by their ASCII code. */
const DIGITS = new Uint8Array(128).fill(NO_DIGIT);
for (let digit = 0; digit < HEX_DIGITS.length; digit++) {
  DIGITS[HEX_DIGITS.charCodeAt(digit)] = digit;
}

/** The arrays of `EndedLabelSets`, which `native/threads/label_reader.cc` reads as well. */
export interface EndedParts {
  readonly ids: Int32Array;
  readonly bytes: Uint8Array;
  readonly flags: Uint8Array;
  readonly details: readonly EndedDetails[];
}

/** A span's details as `stored` returns them; or the names of labels of the user's own, or their values. */
type EndedDetails = SpanDetails | string | readonly string[];

/**
 * Async contexts may outlive a span and carry its label id, so that the labels must be found for a
 * while. As objects, the label sets would be what survives of each span: V8 would copy them twice
 * and collect them from the old space, which takes longer than everything else about its labels.
 *
 * Ids are stored as numbers, which only identifiers of the standard form can be. `store` declines
 * other ids, and sets with both a span's labels and the user's own.
 */
export class EndedLabelSets {
  readonly #ids: Int32Array;
  readonly #bytes: Buffer;
  readonly #flags: Uint8Array;
  /** Two per index: the details of the span in `span_name`, and of the local root; or names and values. */
  readonly #details: EndedDetails[];

  constructor(size: number) {
    this.#ids = new Int32Array(size);
    this.#bytes = Buffer.alloc(size * BYTES);
    this.#flags = new Uint8Array(size);
    this.#details = new Array<EndedDetails>(size * 2).fill('');
  }

  get parts(): EndedParts {
    return { ids: this.#ids, bytes: this.#bytes, flags: this.#flags, details: this.#details };
  }

  /** Returns the id of the set stored at this index, or 0. */
  idAt(index: number): number {
    return this.#ids[index] as number;
  }

  /** Stores the labels of the set. Returns false if that is not possible. */
  store(index: number, set: LabelSet): boolean {
    const { trace, user } = set;
    if (set.base !== set) return false;
    if (trace === undefined) return user !== undefined && this.#storeUsers(index, set.id, user);
    if (user !== undefined) return false;
    const { traceId, rootSpanId, traceIdLabel, spanIdLabel } = trace;
    if (traceIdLabel !== '' && traceIdLabel !== traceId) return false;
    const bytes = this.#bytes;
    const offset = index * BYTES;
    if (!parseHex(traceId, TRACE_BYTES, bytes, offset)) return false;
    if (!parseHex(rootSpanId, SPAN_BYTES, bytes, offset + ROOT_OFFSET)) return false;
    const ownLabel = spanIdLabel !== '' && spanIdLabel !== rootSpanId;
    if (ownLabel && !parseHex(spanIdLabel, SPAN_BYTES, bytes, offset + LABEL_OFFSET)) return false;
    this.#flags[index] =
      (trace.rootSampled ? ROOT_SAMPLED : 0) |
      (traceIdLabel === '' ? 0 : HAS_TRACE_LABEL) |
      (spanIdLabel === '' ? 0 : ownLabel ? HAS_OWN_LABEL : HAS_ROOT_LABEL);
    this.#details[2 * index] = trace.named === undefined ? '' : stored(trace.named);
    this.#details[2 * index + 1] = stored(trace.root);
    this.#ids[index] = set.id;
    return true;
  }

  #storeUsers(index: number, id: number, { names, values }: UserLabels): boolean {
    this.#flags[index] = IS_USERS;
    this.#details[2 * index] = names;
    this.#details[2 * index + 1] = values;
    this.#ids[index] = id;
    return true;
  }

  /** Removes the entry at this index, and returns it as an ended set with the same id. */
  take(index: number): LabelSet {
    const isUsers = this.#flags[index] === IS_USERS;
    const set = isUsers ? this.#usersSet(index) : this.#spansSet(index);
    set.ended = true;
    set.id = this.idAt(index);
    this.forget(index);
    return set;
  }

  #usersSet(index: number): LabelSet {
    const names = this.#details[2 * index] as readonly string[];
    const values = this.#details[2 * index + 1] as readonly string[];
    return createLabelSet(undefined, createUserLabels(names, values));
  }

  #spansSet(index: number): LabelSet {
    const offset = index * BYTES;
    const flags = this.#flags[index] as number;
    const traceId = this.#formatHex(offset, TRACE_BYTES);
    const rootSpanId = this.#formatHex(offset + ROOT_OFFSET, SPAN_BYTES);
    let spanIdLabel = (flags & HAS_ROOT_LABEL) === 0 ? '' : rootSpanId;
    if ((flags & HAS_OWN_LABEL) !== 0) {
      spanIdLabel = this.#formatHex(offset + LABEL_OFFSET, SPAN_BYTES);
    }
    const named = this.#details[2 * index] as SpanDetails | string;
    const storedRoot = this.#details[2 * index + 1] as SpanDetails | string;
    const root = detailsFrom(storedRoot);
    const trace = new LabelsOfTrace(
      traceId,
      rootSpanId,
      (flags & ROOT_SAMPLED) !== 0,
      root,
      (flags & HAS_TRACE_LABEL) === 0 ? '' : traceId,
      spanIdLabel,
      named === '' ? undefined : named === storedRoot ? root : detailsFrom(named),
    );
    return createLabelSet(trace, undefined);
  }

  forget(index: number): void {
    this.#ids[index] = 0;
  }

  #formatHex(offset: number, bytes: number): string {
    return this.#bytes.toString('hex', offset, offset + bytes);
  }
}

/** The name alone, once it cannot change: a string that many spans share, and no object. */
function stored(details: SpanDetails): SpanDetails | string {
  return isFinal(details) && details.attributes === undefined ? details.name : details;
}

function detailsFrom(details: SpanDetails | string): SpanDetails {
  return typeof details === 'string' ? createSpanDetails(details) : details;
}

/** Writes `text`, lower-case hexadecimal digits of a number of `bytes` bytes; false: it is not. */
function parseHex(text: string, bytes: number, to: Uint8Array, offset: number): boolean {
  if (text.length !== 2 * bytes) return false;
  let all = 0;
  for (let i = 0; i < text.length; i += 2) {
    const high = DIGITS[text.charCodeAt(i)] ?? NO_DIGIT;
    const low = DIGITS[text.charCodeAt(i + 1)] ?? NO_DIGIT;
    all |= high | low;
    to[offset++] = (high << 4) | low;
  }
  return all < HEX_DIGITS.length;
}
