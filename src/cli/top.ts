/** `otelpyroscope top`: prints flat and cumulative CPU of a pprof file, as text or JSON. */
import { basename } from 'node:path';
import type { Profile } from '../profile/model.js';
import {
  labelNames,
  select,
  topOf,
  totalOf,
  type LabelTest,
  type Selection,
  type TopRow,
} from '../profile/query.js';
import { traceRows, type TraceRow } from '../profile/trace-rows.js';
import { inSlices } from '../util/time-slices.js';
import { CommandError, parseCommand, UsageError, wholeNumber } from './arguments.js';
import { parseConditions } from './conditions.js';
import { readProfileFile } from './load-profile.js';
import {
  amount,
  cutEnd,
  cutStart,
  fileAndLine,
  NO_VALUE,
  percent,
  printable,
  styleFor,
  widthOf,
} from './text.js';

export const TOP_HELP = `Usage: otelpyroscope top FILE [options]

Prints where the CPU went, by any pprof file: ours, Go's, Datadog's.

  --by WHAT             function (default), line, span_name, trace_id, span_id
                        or any other label
  --traces              traces by span name: how many, and the CPU of one
  --focus LABEL=VALUE   only samples with that label; LABEL!=VALUE only those
                        without; LABEL=~REGEX and LABEL!~REGEX search the value.
                        May be given several times: one of those with = or =~
                        for the same label must hold, and all others
  --sort flat|cum       rows of functions and lines, default flat
  --limit N             rows, default 20
  --json                as JSON, in the units of the file
`;

/** Rows without `--limit`. */
const DEFAULT_LIMIT = 20;

/** Resolves to the exit code. */
export async function top(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseCommand(args, {
    by: { type: 'string' },
    traces: { type: 'boolean', default: false },
    focus: { type: 'string', multiple: true, default: [] },
    sort: { type: 'string', default: 'flat' },
    limit: { type: 'string' },
    json: { type: 'boolean', default: false },
  });
  const [file, ...rest] = positionals;
  if (file === undefined) throw new UsageError('top needs a FILE');
  if (rest.length > 0) throw new UsageError(`one FILE only, not also ${rest.join(' ')}`);
  const { by = 'function' } = values;
  if (by === '') throw new UsageError('--by needs function, line or a label');
  if (values.traces && values.by !== undefined) throw new UsageError('either --by or --traces');
  const { sort } = values;
  if (sort !== 'flat' && sort !== 'cum') {
    throw new UsageError(`--sort needs flat or cum, got "${sort}"`);
  }
  const filters = parseConditions('--focus', values.focus);
  const limit =
    values.limit === undefined ? DEFAULT_LIMIT : wholeNumber('--limit', values.limit, 1, 1e9);

  const profile = await readProfileFile(file);
  checkLabels(profile, by, filters);
  const selection = select(profile, filters);
  const total = totalOf(profile, selection);
  const colours = process.stdout.isTTY && process.stdout.hasColors();
  const options = { total, limit, colours, width: widthOf(process.stdout) };
  const { rows, text } = values.traces
    ? await tracesReport(profile, selection, options)
    : topReport(profile, selection, { ...options, by, sort });
  if (values.json) {
    const { type, unit } = profile.valueType;
    const heading = { type, unit, total, by: values.traces ? 'span_name' : by };
    const shown = { ...heading, rows: rows.slice(0, limit) };
    process.stdout.write(`${JSON.stringify(shown, undefined, 2)}\n`);
  } else {
    process.stdout.write(
      `${printable(basename(file))}: ${amount(total, profile.valueType)} of ` +
        `${printable(profile.valueType.type)} in ${String(selection.length)} stacks` +
        `${filters.length === 0 ? '' : ', of ' + amount(sum(profile), profile.valueType)}\n\n` +
        text,
    );
    if (rows.length > limit) {
      process.stdout.write(`… and ${String(rows.length - limit)} more (--limit)\n`);
    }
  }
  return 0;
}

interface Report {
  readonly rows: readonly object[];
  /** The rows up to the limit. */
  readonly text: string;
}

interface TableOptions {
  readonly colours: boolean;
  readonly width: number;
}

interface ReportOptions extends TableOptions {
  readonly total: number;
  readonly limit: number;
}

function topReport(
  profile: Profile,
  selection: Selection,
  options: ReportOptions & { by: string; sort: 'flat' | 'cum' },
): Report {
  const rows = topOf(profile, selection, options.by);
  // The order among equals is that of `topOf`: sorting keeps it.
  if (options.sort === 'cum') rows.sort((a, b) => b.cum - a.cum);
  return { rows, text: topTable(profile, rows.slice(0, options.limit), options.total, options) };
}

async function tracesReport(
  profile: Profile,
  selection: Selection,
  options: ReportOptions,
): Promise<Report> {
  const rows = await inSlices(traceRows(profile, selection));
  return { rows, text: tracesTable(profile, rows.slice(0, options.limit), options) };
}

/** Throws a CommandError that lists the labels of the profile if it lacks one of those asked for. */
function checkLabels(profile: Profile, by: string, filters: readonly LabelTest[]): void {
  const names = labelNames(profile).map(({ name }) => name);
  const wanted = filters.map(({ label }) => label);
  if (by !== 'function' && by !== 'line') wanted.push(by);
  const unknown = wanted.find((label) => !names.includes(label));
  if (unknown === undefined) return;
  const there = names.length === 0 ? 'none has a label' : `there are ${names.join(', ')}`;
  throw new CommandError(printable(`no sample has the label "${unknown}"; ${there}`));
}

function sum(profile: Profile): number {
  return profile.values.reduce((total, value) => total + value, 0);
}

/** Returns the rows as lines of at most `width` columns. */
export function topTable(
  profile: Profile,
  rows: readonly TopRow[],
  total: number,
  { by, colours, width }: TableOptions & { by: string },
): string {
  const style = styleFor(colours);
  const isFrames = by === 'function' || by === 'line';
  const left = (flat: string, share: string, cum: string, cumShare: string): string => {
    const own = flat.padStart(10) + share.padStart(8);
    return isFrames ? own + cum.padStart(11) + cumShare.padStart(8) : own;
  };
  const heading = left('flat', 'flat%', 'cum', 'cum%') + '  ' + printable(by);
  const lines = [style.bold(cutEnd(heading, width))];
  for (const { name, file, line, flat, cum } of rows) {
    const numbers = left(
      amount(flat, profile.valueType),
      percent(flat, total),
      amount(cum, profile.valueType),
      percent(cum, total),
    );
    const room = Math.max(width - numbers.length - 2, 20);
    const title = cutEnd(printable(name === '' ? (isFrames ? '?' : NO_VALUE) : name), room);
    const rest = room - [...title].length - 1;
    const where = printable(fileAndLine(file, line));
    const shown = where === '' || rest < 8 ? '' : ` ${style.dim(cutStart(where, rest))}`;
    lines.push(`${numbers}  ${title}${shown}`);
  }
  return lines.join('\n') + '\n';
}

/** Returns the rows as lines of at most `width` columns. */
function tracesTable(
  profile: Profile,
  rows: readonly TraceRow[],
  { total, colours, width }: TableOptions & { total: number },
): string {
  const line = (all: string, share: string, traces: string, each: string[], name: string): string =>
    all.padStart(9) +
    share.padStart(7) +
    traces.padStart(8) +
    each.map((text) => text.padStart(9)).join('') +
    `  ${cutEnd(name, width - 53)}`;
  const heading = line('CPU', 'CPU%', 'traces', ['median', '95th', 'most'], 'span_name');
  const lines = [styleFor(colours).bold(heading)];
  for (const { spanName, total: part, traces, median, p95, most } of rows) {
    const each = [median, p95, most].map((value) =>
      traces === 0 ? '–' : amount(value, profile.valueType),
    );
    const name = spanName === '' ? NO_VALUE : printable(spanName);
    const count = traces.toLocaleString('en');
    lines.push(line(amount(part, profile.valueType), percent(part, total), count, each, name));
  }
  return lines.join('\n') + '\n';
}
