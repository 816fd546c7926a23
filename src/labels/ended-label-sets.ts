/** What the label sets of ended spans say, kept without an object for each. */
import { createLabelSet, type LabelSet } from './label-set.js';
import type { TraceLabels } from './label-set.js';

/** A span's ids: that of its trace, that of its local root, and the one that is its label. */
const TRACE_BYTES = 16;
const SPAN_BYTES = 8;
const ROOT_AT = TRACE_BYTES;
const LABEL_AT = ROOT_AT + SPAN_BYTES;
const BYTES = LABEL_AT + SPAN_BYTES;

const ROOT_SAMPLED = 1;
const HAS_TRACE_LABEL = 2;
/** The id of the local root as the label, or another span's. */
const HAS_ROOT_LABEL = 4;
const HAS_OWN_LABEL = 8;

const HEX_DIGITS = '0123456789abcdef';
const NO_DIGIT = 0xff;
/** By ASCII code. */
const DIGITS = new Uint8Array(128).fill(NO_DIGIT);
for (let digit = 0; digit < HEX_DIGITS.length; digit++) {
  DIGITS[HEX_DIGITS.charCodeAt(digit)] = digit;
}

/**
 * A flow may go on with the labels of an ended span, so that they must be found by their id for
 * a while. As objects they would be what survives of each span: V8 copies them twice and collects
 * them from the old space, which takes longer than all else that a span's labels cost.
 *
 * Ids are held as numbers, which only identifiers of the standard form can be; for the others,
 * and where there are labels of the user's own, `keep` declines.
 */
export class EndedSets {
  readonly #ids: Int32Array;
  readonly #bytes: Buffer;
  readonly #flags: Uint8Array;
  /** Two a slot: the label, and the local root's name. */
  readonly #names: string[];

  constructor(slots: number) {
    this.#ids = new Int32Array(slots);
    this.#bytes = Buffer.alloc(slots * BYTES);
    this.#flags = new Uint8Array(slots);
    this.#names = new Array<string>(slots * 2).fill('');
  }

  /** The id of the set kept in this slot; 0: none is. */
  idAt(slot: number): number {
    return this.#ids[slot] as number;
  }

  /** Keeps what the set says; false: that cannot be kept here. */
  keep(slot: number, set: LabelSet): boolean {
    const { trace, user } = set;
    if (trace === undefined || user !== undefined || set.base !== set) return false;
    const { traceId, rootSpanId, traceIdLabel, spanIdLabel } = trace;
    if (traceIdLabel !== '' && traceIdLabel !== traceId) return false;
    const bytes = this.#bytes;
    const at = slot * BYTES;
    if (!parseHex(traceId, TRACE_BYTES, bytes, at)) return false;
    if (!parseHex(rootSpanId, SPAN_BYTES, bytes, at + ROOT_AT)) return false;
    const ownLabel = spanIdLabel !== '' && spanIdLabel !== rootSpanId;
    if (ownLabel && !parseHex(spanIdLabel, SPAN_BYTES, bytes, at + LABEL_AT)) return false;
    this.#flags[slot] =
      (trace.rootSampled ? ROOT_SAMPLED : 0) |
      (traceIdLabel === '' ? 0 : HAS_TRACE_LABEL) |
      (spanIdLabel === '' ? 0 : ownLabel ? HAS_OWN_LABEL : HAS_ROOT_LABEL);
    this.#names[2 * slot] = trace.spanNameLabel;
    this.#names[2 * slot + 1] = trace.rootName;
    this.#ids[slot] = set.id;
    return true;
  }

  /** Takes out what is kept in the slot, as a set with the same id that has ended. */
  take(slot: number): LabelSet {
    const at = slot * BYTES;
    const flags = this.#flags[slot] as number;
    const traceId = this.#formatHex(at, TRACE_BYTES);
    const rootSpanId = this.#formatHex(at + ROOT_AT, SPAN_BYTES);
    let spanIdLabel = (flags & HAS_ROOT_LABEL) === 0 ? '' : rootSpanId;
    if ((flags & HAS_OWN_LABEL) !== 0) spanIdLabel = this.#formatHex(at + LABEL_AT, SPAN_BYTES);
    const trace: TraceLabels = {
      traceId,
      rootSpanId,
      rootSampled: (flags & ROOT_SAMPLED) !== 0,
      rootName: this.#names[2 * slot + 1] as string,
      traceIdLabel: (flags & HAS_TRACE_LABEL) === 0 ? '' : traceId,
      spanIdLabel,
      spanNameLabel: this.#names[2 * slot] as string,
    };
    const set = createLabelSet(trace, undefined);
    set.ended = true;
    set.id = this.idAt(slot);
    this.forget(slot);
    return set;
  }

  forget(slot: number): void {
    this.#ids[slot] = 0;
  }

  #formatHex(at: number, bytes: number): string {
    return this.#bytes.toString('hex', at, at + bytes);
  }
}

/** Whether the text is a number of so many bytes in small hexadecimal digits. */
function parseHex(text: string, bytes: number, to: Uint8Array, at: number): boolean {
  if (text.length !== 2 * bytes) return false;
  let all = 0;
  for (let i = 0; i < text.length; i += 2) {
    const high = DIGITS[text.charCodeAt(i)] ?? NO_DIGIT;
    const low = DIGITS[text.charCodeAt(i + 1)] ?? NO_DIGIT;
    all |= high | low;
    to[at++] = (high << 4) | low;
  }
  return all < HEX_DIGITS.length;
}
