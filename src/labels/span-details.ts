/** The parts of a span that become labels and may change until its end: its name and attributes. */
import { cutValue, type Labels } from './label-values.js';

/** The fields that a span of every OpenTelemetry SDK has. */
export interface ReadableSpan {
  readonly name?: unknown;
  readonly attributes?: unknown;
}

/**
 * One per span whose name or attributes become labels. HTTP instrumentations start a span as `GET`
 * and call it `GET /cart/:id` at its end: labels are read from the span when samples are collected,
 * and once more at its end, from when on the span is not referred to.
 */
export interface SpanDetails {
  /** The span until it ends; undefined too where its name cannot be read. */
  span: ReadableSpan | undefined;
  /** The name at the span's start, and from its end on the name at its end; cut. */
  name: string;
  /** The attributes that become labels; `NO_ATTRIBUTES` for none. */
  readonly attributeNames: readonly string[];
  /** The values of these attributes at the span's end. */
  attributes: Labels | undefined;
}

const NO_ATTRIBUTES: readonly string[] = Object.freeze([]);

/** `name` is the name at the start, cut. Without a span, or one that cannot be read, it stays. */
export function createSpanDetails(
  name: string,
  span?: ReadableSpan,
  attributeNames: readonly string[] = NO_ATTRIBUTES,
): SpanDetails {
  return { span: isReadable(span) ? span : undefined, name, attributeNames, attributes: undefined };
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

/** Called when the span has ended: reads it for the last time. Never throws. */
export function endSpanDetails(details: SpanDetails): void {
  details.name = nameOf(details);
  details.attributes = attributeLabelsOf(details);
  details.span = undefined;
}

function isReadable(span: ReadableSpan | undefined): boolean {
  try {
    return typeof span?.name === 'string';
  } catch {
    return false;
  }
}
