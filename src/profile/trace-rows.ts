/** Sums a profile's traces by span name: how many there are, and how much CPU one has (pure). */
import { GrowingMap } from '../util/growing-maps.js';
import { heaviestFirst } from '../util/sort-in-steps.js';
import type { ProfileLabels, Profile } from './model.js';
import { sumsOfSets, type Selection } from './query.js';

/** A span name and the traces that have samples with it. */
export interface TraceRow {
  /** '' for samples without a span name. */
  readonly spanName: string;
  /** Sum of all samples with the name, those without a trace id included. */
  readonly total: number;
  /** Number of different trace ids. */
  readonly traces: number;
  /**
   * Sums of a trace's samples with the name: the median of the traces, the 95th percentile and the
   * most, each that of one trace (nearest rank). 0 if there are no traces.
   */
  readonly median: number;
  readonly p95: number;
  readonly most: number;
  /** The trace with the most, '' if there are no traces. */
  readonly mostTraceId: string;
}

/** Label sets, names or traces of one step. */
const STEP_ITEMS = 64;
/** More names than a profile can have: a trace and a name together make one number. */
const MAX_NAMES = 2 ** 26;

/** Returns a row per span name, the largest sum first, in steps. */
export function* traceRows(profile: Profile, selection: Selection): Generator<void, TraceRow[]> {
  const { sets, totals } = yield* sumsOfSets(profile, selection);
  const names = new Numbered<string>();
  const traces = new Numbered<string>();
  /** The traces of each name: `trace * MAX_NAMES + name`. */
  const parts = new Numbered<number>();
  const nameTotals = new Float64Array(sets.length);
  const partTotals = new Float64Array(sets.length);
  for (const [i, set] of sets.entries()) {
    if (i % STEP_ITEMS === 0) yield;
    const labels = profile.labelSets[set] as ProfileLabels;
    const total = totals[set] as number;
    const name = names.number(labels.get('span_name') ?? '');
    nameTotals[name] = (nameTotals[name] as number) + total;
    const traceId = labels.get('trace_id') ?? '';
    if (traceId !== '') {
      const part = parts.number(traces.number(traceId) * MAX_NAMES + name);
      partTotals[part] = (partTotals[part] as number) + total;
    }
  }
  const rows: Open<TraceRow>[] = [];
  for (const [name, spanName] of names.all.entries()) {
    if (name % STEP_ITEMS === 0) yield;
    const total = nameTotals[name] as number;
    rows.push({ spanName, total, traces: 0, median: 0, p95: 0, most: 0, mostTraceId: '' });
  }
  const rowOf = (part: number): Open<TraceRow> =>
    rows[(parts.all[part] as number) % MAX_NAMES] as Open<TraceRow>;
  for (let part = 0; part < parts.all.length; part++) {
    if (part % STEP_ITEMS === 0) yield;
    rowOf(part).traces++;
  }
  const ranks = new Uint32Array(rows.length);
  const heaviest = yield* heaviestFirst(partTotals.subarray(0, parts.all.length));
  for (const [i, part] of heaviest.entries()) {
    if (i % STEP_ITEMS === 0) yield;
    const row = rowOf(part);
    const key = parts.all[part] as number;
    const name = key % MAX_NAMES;
    const total = partTotals[part] as number;
    const rank = ranks[name] as number;
    ranks[name] = rank + 1;
    if (rank === 0) {
      row.most = total;
      row.mostTraceId = traces.all[Math.floor(key / MAX_NAMES)] as string;
    }
    if (rank === rankOf(50, row.traces)) row.median = total;
    if (rank === rankOf(95, row.traces)) row.p95 = total;
  }
  const sorted: TraceRow[] = [];
  for (const name of yield* heaviestFirst(nameTotals.subarray(0, rows.length))) {
    if (sorted.length % STEP_ITEMS === 0) yield;
    sorted.push(rows[name] as TraceRow);
  }
  return sorted;
}

type Open<Row> = { -readonly [Key in keyof Row]: Row[Key] };

/** Returns the rank of a percentile among `count` values, the largest of which has rank 0. */
function rankOf(percent: number, count: number): number {
  return count - Math.ceil((percent * count) / 100);
}

/** Numbers different keys from 0. */
class Numbered<Key> {
  readonly all: Key[] = [];
  readonly #numbers = new GrowingMap<Key, number>();

  number(key: Key): number {
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.all.push(key) - 1;
      this.#numbers.add(key, number);
    }
    return number;
  }
}
