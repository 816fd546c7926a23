/** Summarizes a profile in a few lines: CPU by span name, the most expensive traces, the top functions (pure). */
import type { Profile } from '../profile/model.js';
import { allOf, labelRows, topOf, totalOf, type LabelRow } from '../profile/query.js';
import { amount, cutEnd, NO_VALUE, percent, printable, styleFor, WIDTH } from './text.js';
import { topTable } from './top.js';

const SPAN_NAMES = 8;
const TRACES = 5;
const FUNCTIONS = 8;

/** Returns lines of at most 80 columns. */
export function summary(profile: Profile, colours: boolean): string {
  const style = styleFor(colours);
  const all = allOf(profile);
  const total = totalOf(profile, all);
  const row = (value: number, text: string): string =>
    amount(value, profile.valueType).padStart(10) +
    percent(value, total).padStart(8) +
    `  ${cutEnd(printable(text), WIDTH - 20)}\n`;
  const withValue = ({ value }: LabelRow): boolean => value !== '';
  const names = labelRows(profile, all, 'span_name');
  const traces = labelRows(profile, all, 'trace_id').filter(withValue).slice(0, TRACES);

  const window =
    profile.durationNanos === 0 ? '' : ` in ${(profile.durationNanos / 1e9).toFixed(1)} s`;
  let text = style.bold(`CPU: ${amount(total, profile.valueType)}${window}`) + '\n';
  if (names.some(withValue)) {
    text += '\n' + style.bold('By span name') + '\n';
    for (const { value, total: part } of names.slice(0, SPAN_NAMES)) {
      text += row(part, value === '' ? NO_VALUE : value);
    }
  } else {
    text += 'No sample has a span: no OpenTelemetry tracer provider was at work.\n';
  }
  if (traces.length > 0) {
    text += '\n' + style.bold('Most expensive traces') + '\n';
    for (const { value, total: part, spanName } of traces)
      text += row(part, `${value} ${spanName}`);
  }
  text += '\n' + style.bold('Top functions') + '\n';
  const rows = topOf(profile, all, 'function').slice(0, FUNCTIONS);
  return text + topTable(profile, rows, total, { by: 'function', colours, width: WIDTH });
}
