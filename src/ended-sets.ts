/** What the label sets of ended spans say, kept without an object for each. */
import { createLabelSet, type LabelSet } from './label-set.js';
import type { TraceLabels } from './label-rules.js';

/** Words of a span's ids: of its trace, of its local root, and the one that is its label. */
const TRACE_WORDS = 4;
const SPAN_WORDS = 2;
const ROOT_AT = TRACE_WORDS;
const LABEL_AT = ROOT_AT + SPAN_WORDS;
const WORDS = LABEL_AT + SPAN_WORDS;

const ROOT_SAMPLED = 1;
const HAS_TRACE_LABEL = 2;
const HAS_SPAN_LABEL = 4;

const HEX_DIGITS = '0123456789abcdef';
const NO_DIGIT = 0xff;
/** By ASCII code. */
const DIGITS = new Uint8Array(128).fill(NO_DIGIT);
for (let digit = 0; digit < HEX_DIGITS.length; digit++) {
  DIGITS[HEX_DIGITS.charCodeAt(digit)] = digit;
}
/** Hexadecimal digits of a word. */
const WORD_DIGITS = 8;

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
  readonly #words: Uint32Array;
  readonly #flags: Uint8Array;
  /** Two a slot: the label, and the local root's name. */
  readonly #names: string[];

  constructor(slots: number) {
    this.#ids = new Int32Array(slots);
    this.#words = new Uint32Array(slots * WORDS);
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
    const words = this.#words;
    const at = slot * WORDS;
    if (!parseHex(traceId, TRACE_WORDS, words, at)) return false;
    if (!parseHex(rootSpanId, SPAN_WORDS, words, at + ROOT_AT)) return false;
    if (spanIdLabel === rootSpanId) {
      words[at + LABEL_AT] = words[at + ROOT_AT] as number;
      words[at + LABEL_AT + 1] = words[at + ROOT_AT + 1] as number;
    } else if (spanIdLabel !== '' && !parseHex(spanIdLabel, SPAN_WORDS, words, at + LABEL_AT)) {
      return false;
    }
    this.#flags[slot] =
      (trace.rootSampled ? ROOT_SAMPLED : 0) |
      (traceIdLabel === '' ? 0 : HAS_TRACE_LABEL) |
      (spanIdLabel === '' ? 0 : HAS_SPAN_LABEL);
    this.#names[2 * slot] = trace.spanNameLabel;
    this.#names[2 * slot + 1] = trace.rootName;
    this.#ids[slot] = set.id;
    return true;
  }

  /** Takes out what is kept in the slot, as a set with the same id that has ended. */
  take(slot: number): LabelSet {
    const at = slot * WORDS;
    const flags = this.#flags[slot] as number;
    const traceId = this.#formatHex(at, TRACE_WORDS);
    const trace: TraceLabels = {
      traceId,
      rootSpanId: this.#formatHex(at + ROOT_AT, SPAN_WORDS),
      rootSampled: (flags & ROOT_SAMPLED) !== 0,
      rootName: this.#names[2 * slot + 1] as string,
      traceIdLabel: (flags & HAS_TRACE_LABEL) === 0 ? '' : traceId,
      spanIdLabel: (flags & HAS_SPAN_LABEL) === 0 ? '' : this.#formatHex(at + LABEL_AT, SPAN_WORDS),
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

  #formatHex(at: number, words: number): string {
    let text = '';
    for (let i = 0; i < words; i++) {
      text += (this.#words[at + i] as number).toString(16).padStart(WORD_DIGITS, '0');
    }
    return text;
  }
}

/** Whether the text is a number of so many words in small hexadecimal digits. */
function parseHex(text: string, words: number, to: Uint32Array, at: number): boolean {
  if (text.length !== words * WORD_DIGITS) return false;
  let all = 0;
  for (let i = 0; i < text.length; i += WORD_DIGITS) {
    let word = 0;
    for (let j = i; j < i + WORD_DIGITS; j++) {
      const digit = DIGITS[text.charCodeAt(j)] ?? NO_DIGIT;
      all |= digit;
      word = (word << 4) | digit;
    }
    to[at++] = word;
  }
  return all < 16;
}
