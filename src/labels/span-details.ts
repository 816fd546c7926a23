/** The parts of a span that become labels and may change until its end: its name and attributes. */
import type { Labels } from '../util/labels.js';
import { cutValue } from './label-values.js';

/** The fields that a span of every OpenTelemetry SDK has. */
export interface ReadableSpan {
  readonly name?: unknown;
  readonly attributes?: unknown;
}

/**
 * Open spans that are referred to. Beyond it, the oldest has the name that it had then until it
 * ends: spans that never end must not stay in memory with their attributes.
 */
export const MAX_OPEN_SPANS = 2_048;

const INDEX_MASK = MAX_OPEN_SPANS - 1;
/** The values of `SpanDetails.index` of a span that is not in `openSpans`. */
const ENDED = -1;
const DROPPED = -2;

/**
 * One per span whose name or attributes become labels. HTTP instrumentations start a span as `GET`
 * and call it `GET /cart/:id` at its end: labels are read from the span when samples are collected,
 * and once more at its end, from when on the span is not referred to.
 */
export interface SpanDetails {
  /** '' if the details belong to no span, such as those of a `span_name` set by `withLabels`. */
  readonly spanId: string;
  /** The span until it ends or is dropped; undefined too where its name cannot be read. */
  span: ReadableSpan | undefined;
  /** The name at the span's start, or when it was last read for good; cut. */
  name: string;
  /** The attributes that become labels; `NO_ATTRIBUTES` for none. */
  readonly attributeNames: readonly string[];
  /** The values of these attributes when the span was last read for good. */
  attributes: Labels | undefined;
  /** Index in `openSpans`, or `ENDED`, or `DROPPED`. */
  index: number;
}

/** A class for the same reason as `LabelsOfTrace`. */
class DetailsOfSpan implements SpanDetails {
  attributes: Labels | undefined = undefined;

  constructor(
    readonly spanId: string,
    public span: ReadableSpan | undefined,
    public name: string,
    readonly attributeNames: readonly string[],
    public index: number,
  ) {}
}

const NO_ATTRIBUTES: readonly string[] = Object.freeze([]);

/** A ring of the last spans; those that have ended are removed. */
const openSpans = new Array<SpanDetails | undefined>(MAX_OPEN_SPANS).fill(undefined);
let nextIndex = 0;

/**
 * Makes the details of a span. `name` is its name at the start, cut; it does not change if `span` is
 * missing or has no readable name.
 */
export function createSpanDetails(
  name: string,
  spanId = '',
  span?: ReadableSpan,
  attributeNames: readonly string[] = NO_ATTRIBUTES,
): SpanDetails {
  const readable = isReadable(span) ? span : undefined;
  const index = readable === undefined ? ENDED : nextIndex;
  const details = new DetailsOfSpan(spanId, readable, name, attributeNames, index);
  if (readable !== undefined) {
    const oldest = openSpans[index];
    if (oldest !== undefined) readForGood(oldest, oldest.span, DROPPED);
    openSpans[index] = details;
    nextIndex = (index + 1) & INDEX_MASK;
  }
  return details;
}

/** Whether name and attributes cannot change any more. */
export function isFinal(details: SpanDetails): boolean {
  return details.index === ENDED;
}

/** Returns the name that the span has now, or had at its end. Never throws. */
export function nameOf(details: SpanDetails): string {
  const { span } = details;
  if (span === undefined) return details.name;
  try {
    const { name } = span;
    if (name === details.name) return details.name;
    return typeof name === 'string' && name !== '' ? cutValue(name) : details.name;
  } catch {
    return details.name;
  }
}

/** Returns the labels from attributes that the span has now, or had at its end; undefined: none. */
export function attributeLabelsOf(details: SpanDetails): Labels | undefined {
  const { span, attributeNames } = details;
  if (span === undefined || attributeNames.length === 0) return details.attributes;
  try {
    const attributes = span.attributes as Record<string, unknown> | undefined;
    let labels: Record<string, string> | undefined;
    for (const name of attributeNames) {
      const value = attributes?.[name];
      const isLabel =
        typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
      if (isLabel && value !== '') (labels ??= {})[name] = cutValue(String(value));
    }
    return labels;
  } catch {
    return undefined;
  }
}

/** Reads name and attributes of the details' span for the last time: it has ended. Never throws. */
export function endSpanDetails(details: SpanDetails, span: ReadableSpan): void {
  if (isFinal(details)) return;
  if (details.index >= 0) openSpans[details.index] = undefined;
  readForGood(details, span, ENDED);
}

function readForGood(details: SpanDetails, span: ReadableSpan | undefined, index: number): void {
  details.span = span;
  details.name = nameOf(details);
  details.attributes = attributeLabelsOf(details);
  details.span = undefined;
  details.index = index;
}

function isReadable(span: ReadableSpan | undefined): boolean {
  try {
    return typeof span?.name === 'string';
  } catch {
    return false;
  }
}
