/** Computes the data that the viewer's page requests (pure). */
import { callTree } from '../profile/call-tree.js';
import type { Profile } from '../profile/model.js';
import {
  allOf,
  countValues,
  labelNames,
  labelRows,
  parseFilter,
  select,
  selectInSteps,
  topOf,
  totalOf,
  type Filter,
  type LabelRow,
  type Selection,
  type TopRow,
} from '../profile/query.js';
import { traceRows, type TraceRow } from '../profile/trace-rows.js';
import { inSlices } from '../util/time-slices.js';

/** Rows of a list or a table in one response; a search finds the others. */
export const MAX_ROWS = 500;
/** Rows that are searched in one step. */
const STEP_ROWS = 64;
/** Most conditions of one selection. */
const MAX_FILTERS = 32;

/** A wrong query; its message is sent to the page. */
export class QueryError extends Error {}

export interface ProfileData {
  readonly valueType: Profile['valueType'];
  readonly timeNanos: number;
  readonly durationNanos: number;
  readonly total: number;
  readonly stacks: number;
  readonly labels: { name: string; values: number }[];
}

export interface SelectionSums {
  readonly total: number;
  readonly traces: number;
}

interface DiffRow extends TopRow {
  readonly flatB: number;
  readonly cumB: number;
  /** Self time of the first selection less that of the second, each by its `scale`. */
  readonly delta: number;
}

/** Resolves to the data of `/api/NAME` for the URL's query, or undefined for another name. Rejects with a QueryError. */
export async function dataFor(
  profile: Profile,
  name: string,
  query: URLSearchParams,
): Promise<object | undefined> {
  if (name === 'profile') return describeProfile(profile);
  if (name === 'rows') return rows(profile, query);
  if (name === 'graph') return graph(profile, query);
  if (name === 'top') return topTable(profile, query);
  if (name === 'traces') return inSlices(traces(profile, query));
  return undefined;
}

function describeProfile(profile: Profile): ProfileData {
  const { valueType, timeNanos, durationNanos } = profile;
  const all = allOf(profile);
  const total = totalOf(profile, all);
  const labels = labelNames(profile);
  return { valueType, timeNanos, durationNanos, total, stacks: all.length, labels };
}

/** The values of a label. Query: `label`, `search`, and the selection `a`. */
function rows(profile: Profile, query: URLSearchParams): object {
  const label = query.get('label') ?? 'trace_id';
  const selection = selectionOf(profile, query, 'a');
  const found = labelRows(profile, selection, label);
  // Samples without the label come last: they are of the least interest.
  found.sort((x, y) => Number(x.value === '') - Number(y.value === ''));
  const term = (query.get('search') ?? '').toLowerCase();
  const matching = found.filter(
    ({ value, spanName }: LabelRow) =>
      value.toLowerCase().includes(term) || spanName.toLowerCase().includes(term),
  );
  return {
    total: totalOf(profile, selection),
    count: matching.length,
    rows: matching.slice(0, MAX_ROWS),
  };
}

/** The tree of calls. Query: the selections `a` and `b`, `inverse`, `split`, `zoom` and `search`. */
function graph(profile: Profile, query: URLSearchParams): object {
  const { a, b, sums } = selections(profile, query);
  const zoom = (query.get('zoom') ?? '').split('.').filter((key) => key !== '');
  const options = {
    a,
    ...(b === undefined ? {} : { b }),
    inverse: query.get('inverse') === '1',
    split: query.get('split') ?? undefined,
  };
  const zoomed = callTree(profile, { ...options, zoom });
  const root = zoomed ?? callTree(profile, options);
  const term = query.get('search') ?? '';
  const matched = term === '' ? undefined : matchedTotal(profile, a, term);
  return { ...sums, zoomed: zoomed !== undefined, matched, root };
}

/** The table. Query: the selections `a` and `b`, `by` (function or line), `search`, `sort` (self or total). */
function topTable(profile: Profile, query: URLSearchParams): object {
  const { a, b, sums } = selections(profile, query);
  const by = query.get('by') ?? 'function';
  const found = b === undefined ? topOf(profile, a, by) : diffRows(profile, { a, b, by, sums });
  if (query.get('sort') === 'total') found.sort((x, y) => y.cum - x.cum || y.flat - x.flat);
  const term = (query.get('search') ?? '').toLowerCase();
  const matching = found.filter(
    ({ name, file }) => name.toLowerCase().includes(term) || file.toLowerCase().includes(term),
  );
  return { ...sums, count: matching.length, rows: matching.slice(0, MAX_ROWS) };
}

/** Traces by span name, in steps. Query: the selection `a`, and `search`. */
function* traces(profile: Profile, query: URLSearchParams): Generator<void, object> {
  const selection = yield* selectInSteps(profile, filtersOf(query, 'a'));
  const term = (query.get('search') ?? '').toLowerCase();
  const rows: TraceRow[] = [];
  let total = 0;
  let count = 0;
  for (const [i, row] of (yield* traceRows(profile, selection)).entries()) {
    if (i % STEP_ROWS === 0) yield;
    total += row.total;
    if (!row.spanName.toLowerCase().includes(term)) continue;
    if (count++ < MAX_ROWS) rows.push(row);
  }
  return { total, count, rows };
}

interface Sums {
  readonly a: SelectionSums;
  readonly b: SelectionSums | undefined;
  /** Divisors of the selections' values for a comparison. */
  readonly scale: { by: 'trace' | 'share'; a: number; b: number } | undefined;
}

function selections(
  profile: Profile,
  query: URLSearchParams,
): { a: Selection; b: Selection | undefined; sums: Sums } {
  const a = selectionOf(profile, query, 'a');
  const b = query.get('compare') === '1' ? selectionOf(profile, query, 'b') : undefined;
  const describe = (selection: Selection): SelectionSums => ({
    total: totalOf(profile, selection),
    traces: countValues(profile, selection, 'trace_id'),
  });
  const [sumA, sumB] = [describe(a), b === undefined ? undefined : describe(b)];
  return { a, b, sums: { a: sumA, b: sumB, scale: sumB && scaleOf(sumA, sumB) } };
}

/** Compares per trace, or by share of the CPU if a selection has no traces. */
function scaleOf(a: SelectionSums, b: SelectionSums): Sums['scale'] {
  if (a.traces > 0 && b.traces > 0) return { by: 'trace', a: a.traces, b: b.traces };
  return { by: 'share', a: a.total === 0 ? 1 : a.total, b: b.total === 0 ? 1 : b.total };
}

function diffRows(
  profile: Profile,
  { a, b, by, sums }: { a: Selection; b: Selection; by: string; sums: Sums },
): DiffRow[] {
  const key = ({ name, file, line }: TopRow): string => `${name}\0${file}\0${String(line)}`;
  const others = new Map(topOf(profile, b, by).map((row) => [key(row), row]));
  const scale = sums.scale ?? { a: 1, b: 1 };
  const join = (row: TopRow, other: TopRow | undefined): DiffRow => {
    const { flat: flatB, cum: cumB } = other ?? { flat: 0, cum: 0 };
    return { ...row, flatB, cumB, delta: row.flat / scale.a - flatB / scale.b };
  };
  const joined = topOf(profile, a, by).map((row) => {
    const other = others.get(key(row));
    others.delete(key(row));
    return join(row, other);
  });
  const onlyB = [...others.values()].map((row) => join({ ...row, flat: 0, cum: 0 }, row));
  return [...joined, ...onlyB].sort((x, y) => y.delta - x.delta);
}

/** Returns the sum over samples with a matching function anywhere on the stack. */
function matchedTotal(profile: Profile, selection: Selection, search: string): number {
  const term = search.toLowerCase();
  const matches = profile.names.map(
    (name, index) =>
      name.toLowerCase().includes(term) ||
      (profile.files[index] as string).toLowerCase().includes(term),
  );
  let total = 0;
  for (const sample of selection) {
    const end = profile.stackStarts[sample + 1] as number;
    for (let at = profile.stackStarts[sample] as number; at < end; at++) {
      if (matches[profile.functionOf[profile.stacks[at] as number] as number] !== true) continue;
      total += profile.values[sample] as number;
      break;
    }
  }
  return total;
}

function selectionOf(profile: Profile, query: URLSearchParams, name: string): Selection {
  return select(profile, filtersOf(query, name));
}

function filtersOf(query: URLSearchParams, name: string): Filter[] {
  const texts = query.getAll(name);
  if (texts.length > MAX_FILTERS) throw new QueryError(`more than ${String(MAX_FILTERS)} filters`);
  return texts.map((text): Filter => {
    const filter = parseFilter(text);
    if (filter === undefined) throw new QueryError(`"${text}" is no LABEL=VALUE`);
    return filter;
  });
}
