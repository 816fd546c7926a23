/** Formats text for terminals: columns that fit, units, and names without control characters (pure). */
import type { ValueType } from '../util/profile-types.js';

/** Columns of the narrowest terminal that the output fits. */
export const WIDTH = 80;

/** Returns the columns of a terminal; a file or pipe has no limit. */
export function widthOf(stream: NodeJS.WriteStream): number {
  return stream.isTTY ? Math.max(stream.columns, WIDTH) : Infinity;
}

/** Stands for samples without a label. */
export const NO_VALUE = '(none)';

export interface Style {
  bold(text: string): string;
  dim(text: string): string;
}

/** Returns a style with colours, or one without, for files and pipes. */
export function styleFor(colours: boolean): Style {
  const paint = (code: number) => (text: string) =>
    colours ? `\x1b[${String(code)}m${text}\x1b[0m` : text;
  return { bold: paint(1), dim: paint(2) };
}

/** Control characters, which could move the cursor or hide text, and those that reverse its direction. */
// eslint-disable-next-line no-control-regex
const UNPRINTABLE = /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Returns a name from a file as one line without control characters. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, '\ufffd');
}

/** Cuts a text at its end to `width` characters. */
export function cutEnd(text: string, width: number): string {
  const characters = [...text];
  return characters.length <= width ? text : `${characters.slice(0, width - 1).join('')}…`;
}

/** Cuts a text at its beginning, where paths differ least. */
export function cutStart(text: string, width: number): string {
  const characters = [...text];
  return characters.length <= width ? text : `…${characters.slice(1 - width).join('')}`;
}

/** Factors and symbols by unit. A file may have any text as the unit. */
const SCALES: ReadonlyMap<string, readonly (readonly [number, string])[]> = new Map([
  [
    'nanoseconds',
    [
      [1e9, 's'],
      [1e6, 'ms'],
      [1e3, 'µs'],
      [1, 'ns'],
    ],
  ],
  [
    'bytes',
    [
      [2 ** 30, 'GiB'],
      [2 ** 20, 'MiB'],
      [2 ** 10, 'KiB'],
      [1, 'B'],
    ],
  ],
]);
const TIME_UNITS: ReadonlyMap<string, number> = new Map([
  ['microseconds', 1e3],
  ['milliseconds', 1e6],
  ['seconds', 1e9],
]);

/** Returns a value with its unit, in 8 columns while it is below a million of the largest unit. */
export function amount(value: number, { unit }: ValueType): string {
  const factor = TIME_UNITS.get(unit);
  if (factor !== undefined) return amount(value * factor, { type: '', unit: 'nanoseconds' });
  const scale = SCALES.get(unit);
  if (scale === undefined || value === 0) return value.toLocaleString('en');
  const found = scale.find(([size]) => Math.abs(value) >= size);
  const [size, name] = found ?? [1, unit];
  const scaled = value / size;
  return `${scaled.toFixed(Number.isInteger(scaled) || Math.abs(scaled) >= 100 ? 0 : 2)} ${name}`;
}

/** Returns a fraction as a percentage with one decimal; "–" if `whole` is 0. */
export function percent(part: number, whole: number): string {
  return whole === 0 ? '–' : `${((part / whole) * 100).toFixed(1)}%`;
}

/** Returns "app.js:12", or '' if the file is unknown. */
export function fileAndLine(file: string, line: number): string {
  return line > 0 ? `${file}:${String(line)}` : file;
}
