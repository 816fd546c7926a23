/** Text for terminals: columns that fit, units, and names that cannot control the terminal (pure). */
import type { ValueType } from '../util/profile-types.js';

/** Columns of the narrowest terminal that output is made for. */
export const WIDTH = 80;

export interface Style {
  bold(text: string): string;
  dim(text: string): string;
}

/** With colours or, for files and pipes, without. */
export function styleFor(colours: boolean): Style {
  const paint = (code: number) => (text: string) =>
    colours ? `\x1b[${String(code)}m${text}\x1b[0m` : text;
  return { bold: paint(1), dim: paint(2) };
}

/** Control characters, which could move the cursor or hide text, and those that turn its direction. */
// eslint-disable-next-line no-control-regex
const UNPRINTABLE = /[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** A name from a file, on one line and harmless. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, '\ufffd');
}

/** Cut at the end to `width` characters. */
export function cutEnd(text: string, width: number): string {
  const characters = [...text];
  return characters.length <= width ? text : `${characters.slice(0, width - 1).join('')}…`;
}

/** Cut at the begin, where paths differ least. */
export function cutStart(text: string, width: number): string {
  const characters = [...text];
  return characters.length <= width ? text : `…${characters.slice(1 - width).join('')}`;
}

/** By the unit, which a file may have any text as. */
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

/** A value with its unit, in 8 columns as long as it is below a million of the largest unit. */
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

/** A fraction as a percentage with one decimal; of nothing, nothing. */
export function percent(part: number, whole: number): string {
  return whole === 0 ? '–' : `${((part / whole) * 100).toFixed(1)}%`;
}

/** "app.js:12", '' where nothing is known. */
export function place(file: string, line: number): string {
  return line > 0 ? `${file}:${String(line)}` : file;
}
