/** The limit of a label value, and counts of what the limits of labels have cost. */
import { warnOnce } from '../util/diagnostics.js';

/** Longest label value in bytes of UTF-8; longer ones are cut at a character boundary. */
export const MAX_LABEL_VALUE_BYTES = 2_048;

const encoder = new TextEncoder();

/** Values cut and labels dropped by the limits since the package was loaded. */
export const labelLosses = { cutValues: 0, droppedLabels: 0 };

/** Returns `value`, or a copy of as much as fits the limit, which does not keep it in memory. */
export function cutValue(value: string): string {
  // A UTF-16 unit takes at most three bytes.
  if (value.length * 3 <= MAX_LABEL_VALUE_BYTES) return value;
  const bytes = Buffer.allocUnsafe(MAX_LABEL_VALUE_BYTES);
  const { read, written } = encoder.encodeInto(value, bytes);
  if (read === value.length) return value;
  labelLosses.cutValues++;
  warnOnce(
    'label-value',
    `a label value was longer than ${String(MAX_LABEL_VALUE_BYTES)} bytes and was cut`,
  );
  // Not slice(): V8 would make the result a reference to the whole string.
  return bytes.toString('utf8', 0, written);
}
