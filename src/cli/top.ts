/** `otelpyroscope top`: prints flat and cumulative CPU of a pprof file, as text or JSON. */
import { basename } from 'node:path';
import type { Profile } from '../profile/model.js';
import { parseFilter, select, topOf, totalOf, type Filter, type TopRow } from '../profile/query.js';
import { parseCommand, UsageError, wholeNumber } from './arguments.js';
import { readProfileFile } from './load-profile.js';
import {
  amount,
  cutEnd,
  cutStart,
  fileAndLine,
  percent,
  printable,
  styleFor,
  WIDTH,
} from './text.js';

export const TOP_HELP = `Usage: otelpyroscope top FILE [options]

Prints where the CPU went, by any pprof file: ours, Go's, Datadog's.

  --by WHAT             function (default), line, span_name, trace_id, span_id
                        or any other label
  --focus LABEL=VALUE   only samples with that label; LABEL!=VALUE only those
                        without; may be given several times
  --limit N             rows, default 20
  --json                as JSON, in the units of the file
`;

/** Rows without `--limit`. */
const DEFAULT_LIMIT = 20;

/** Resolves to the exit code. */
export async function top(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseCommand(args, {
    by: { type: 'string', default: 'function' },
    focus: { type: 'string', multiple: true, default: [] },
    limit: { type: 'string' },
    json: { type: 'boolean', default: false },
  });
  const [file, ...rest] = positionals;
  if (file === undefined) throw new UsageError('top needs a FILE');
  if (rest.length > 0) throw new UsageError(`one FILE only, not also ${rest.join(' ')}`);
  if (values.by === '') throw new UsageError('--by needs function, line or a label');
  const filters = values.focus.map(focus);
  const limit =
    values.limit === undefined ? DEFAULT_LIMIT : wholeNumber('--limit', values.limit, 1, 1e9);

  const profile = await readProfileFile(file);
  const selection = select(profile, filters);
  const total = totalOf(profile, selection);
  const rows = topOf(profile, selection, values.by);
  if (values.json) {
    const { type, unit } = profile.valueType;
    const shown = { type, unit, total, by: values.by, rows: rows.slice(0, limit) };
    process.stdout.write(`${JSON.stringify(shown, undefined, 2)}\n`);
  } else {
    const colours = process.stdout.isTTY && process.stdout.hasColors();
    process.stdout.write(
      `${printable(basename(file))}: ${amount(total, profile.valueType)} of ` +
        `${printable(profile.valueType.type)} in ${String(selection.length)} stacks` +
        `${filters.length === 0 ? '' : ', of ' + amount(sum(profile), profile.valueType)}\n\n` +
        topTable(profile, rows.slice(0, limit), total, { by: values.by, colours }),
    );
    if (rows.length > limit) {
      process.stdout.write(`… and ${String(rows.length - limit)} more (--limit)\n`);
    }
  }
  return 0;
}

function focus(text: string): Filter {
  const filter = parseFilter(text);
  if (filter === undefined) throw new UsageError(`--focus needs LABEL=VALUE, got "${text}"`);
  return filter;
}

function sum(profile: Profile): number {
  return profile.values.reduce((total, value) => total + value, 0);
}

/** Returns the rows as lines of at most 80 columns. */
export function topTable(
  profile: Profile,
  rows: readonly TopRow[],
  total: number,
  { by, colours }: { by: string; colours: boolean },
): string {
  const style = styleFor(colours);
  const isFrames = by === 'function' || by === 'line';
  const left = (flat: string, share: string, cum: string, cumShare: string): string => {
    const own = flat.padStart(10) + share.padStart(8);
    return isFrames ? own + cum.padStart(11) + cumShare.padStart(8) : own;
  };
  const heading = left('flat', 'flat%', 'cum', 'cum%') + '  ' + printable(by);
  const lines = [style.bold(cutEnd(heading, WIDTH))];
  for (const { name, file, line, flat, cum } of rows) {
    const numbers = left(
      amount(flat, profile.valueType),
      percent(flat, total),
      amount(cum, profile.valueType),
      percent(cum, total),
    );
    const room = Math.max(WIDTH - numbers.length - 2, 20);
    const title = cutEnd(printable(name === '' ? (isFrames ? '?' : '(none)') : name), room);
    const rest = room - [...title].length - 1;
    const where = printable(fileAndLine(file, line));
    const shown = where === '' || rest < 8 ? '' : ` ${style.dim(cutStart(where, rest))}`;
    lines.push(`${numbers}  ${title}${shown}`);
  }
  return lines.join('\n') + '\n';
}
