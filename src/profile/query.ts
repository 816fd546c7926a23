/** Selects samples of a profile and sums their values, for the command line and the viewer (pure). */
import { GrowingMap } from '../util/growing-maps.js';
import { atOnce } from '../util/time-slices.js';
import type { ProfileLabels, Profile } from './model.js';

/** One condition on the labels of a sample. The value '' stands for "without that label". */
export interface Filter {
  readonly label: string;
  /** `~`: other values of the label whose span name with the most CPU is that of `value`. */
  readonly operator: '=' | '!=' | '~';
  readonly value: string;
}

/** A condition on the value of one label; '' stands for "without that label". */
export interface LabelTest {
  readonly label: string;
  readonly test: (value: string) => boolean;
}

/** Numbers of samples. */
export type Selection = Uint32Array;

/** `topOf` groups by `function`, `line`, or a label. */
export type Grouping = string;

/** A row of a table of self and total time. */
export interface TopRow {
  readonly name: string;
  /** '' for unknown, or if the row is a label's value. */
  readonly file: string;
  /** 0 for unknown, or if rows are not lines. */
  readonly line: number;
  /** Self value: of samples with this function innermost. */
  readonly flat: number;
  /** Total value: of samples with this function anywhere on the stack. */
  readonly cum: number;
}

/** A label's value, such as a trace or span, and the sum of its samples. */
export interface LabelRow {
  readonly value: string;
  readonly total: number;
  readonly samples: number;
  /** The span name with the most CPU in these samples, '' for none. */
  readonly spanName: string;
  /** The trace id of the first of these samples, '' for none. */
  readonly traceId: string;
}

/** Label sets, samples or rows of one step. */
const STEP_ITEMS = 64;

const CONDITION = /^([^=!~]+)(=|!=|~)(.*)$/s;

/** Parses `LABEL=VALUE`, `LABEL!=VALUE` or `trace_id~ID`; returns undefined for anything else. */
export function parseFilter(text: string): Filter | undefined {
  const [, label, operator, value] = CONDITION.exec(text) ?? [];
  if (label === undefined || operator === undefined || value === undefined) return undefined;
  return { label, operator: operator as Filter['operator'], value };
}

/** Returns the samples that meet all conditions. */
export function select(profile: Profile, filters: readonly (Filter | LabelTest)[]): Selection {
  return atOnce(selectInSteps(profile, filters));
}

/** Returns the samples that meet all conditions, in steps. */
export function* selectInSteps(
  profile: Profile,
  filters: readonly (Filter | LabelTest)[],
): Generator<void, Selection> {
  const tests: ((labels: ProfileLabels) => boolean)[] = [];
  for (const filter of filters) tests.push(yield* conditionOf(profile, filter));
  const wanted = new Uint8Array(profile.labelSets.length);
  for (let set = 0; set < wanted.length; set++) {
    const labels = profile.labelSets[set] as ProfileLabels;
    if (tests.every((test) => test(labels))) wanted[set] = 1;
    if (set % STEP_ITEMS === 0) yield;
  }
  const found = new Uint32Array(profile.values.length);
  let count = 0;
  for (let i = 0; i < found.length; i++) {
    if (wanted[profile.labelSetOf[i] as number] === 1) found[count++] = i;
    if (i % STEP_ITEMS === 0) yield;
  }
  return found.subarray(0, count);
}

function* conditionOf(
  profile: Profile,
  filter: Filter | LabelTest,
): Generator<void, (labels: ProfileLabels) => boolean> {
  const { label } = filter;
  if ('test' in filter) return (labels) => filter.test(labels.get(label) ?? '');
  const { operator, value } = filter;
  if (operator === '=') return (labels) => (labels.get(label) ?? '') === value;
  if (operator === '!=') return (labels) => (labels.get(label) ?? '') !== value;
  const names = new GrowingMap<string, string>();
  const rows = yield* unsortedRows(profile, allOf(profile), label);
  for (const [i, row] of rows.entries()) {
    if (i % STEP_ITEMS === 0) yield;
    names.add(row.value, row.spanName);
  }
  const name = names.get(value);
  return (labels) => {
    const other = labels.get(label) ?? '';
    return other !== '' && other !== value && names.get(other) === name;
  };
}

/** Returns all samples. */
export function allOf(profile: Profile): Selection {
  const all = new Uint32Array(profile.values.length);
  for (let i = 0; i < all.length; i++) all[i] = i;
  return all;
}

/** Returns the sum of the samples' values. */
export function totalOf(profile: Profile, selection: Selection): number {
  let total = 0;
  for (const sample of selection) total += profile.values[sample] as number;
  return total;
}

/** Returns the names of all labels with the number of their values, those of spans and threads first. */
export function labelNames(profile: Profile): { name: string; values: number }[] {
  const values = new Map<string, Set<string>>();
  for (const labels of profile.labelSets) {
    for (const [name, value] of labels) {
      const known = values.get(name);
      if (known === undefined) values.set(name, new Set([value]));
      else known.add(value);
    }
  }
  const rank = (name: string): number => {
    const index = ['trace_id', 'span_id', 'span_name', 'thread_name'].indexOf(name);
    return index < 0 ? 4 : index;
  };
  return [...values]
    .map(([name, { size }]) => ({ name, values: size }))
    .sort((a, b) => rank(a.name) - rank(b.name) || (a.name < b.name ? -1 : 1));
}

/** Returns a row per value of a label, the largest sum first; '' for samples without the label. */
export function labelRows(profile: Profile, selection: Selection, label: string): LabelRow[] {
  return atOnce(unsortedRows(profile, selection, label)).sort(
    (a, b) => b.total - a.total || (a.value < b.value ? -1 : 1),
  );
}

function* unsortedRows(
  profile: Profile,
  selection: Selection,
  label: string,
): Generator<void, LabelRow[]> {
  const { sets, totals, samples } = yield* sumsOfSets(profile, selection);
  const numbers = new GrowingMap<string, number>();
  const sums: { value: string; total: number; samples: number; traceId: string }[] = [];
  const names: Map<string, number>[] = [];
  for (const [i, set] of sets.entries()) {
    if (i % STEP_ITEMS === 0) yield;
    const labels = profile.labelSets[set] as ProfileLabels;
    const value = labels.get(label) ?? '';
    let number = numbers.get(value);
    if (number === undefined) {
      const traceId = labels.get('trace_id') ?? '';
      number = sums.push({ value, total: 0, samples: 0, traceId }) - 1;
      names.push(new Map());
      numbers.add(value, number);
    }
    const sum = sums[number] as (typeof sums)[number];
    const total = totals[set] as number;
    sum.total += total;
    sum.samples += samples[set] as number;
    const name = labels.get('span_name');
    const ofRow = names[number] as Map<string, number>;
    if (name !== undefined) ofRow.set(name, (ofRow.get(name) ?? 0) + total);
  }
  const rows: LabelRow[] = [];
  for (const [number, sum] of sums.entries()) {
    if (number % STEP_ITEMS === 0) yield;
    rows.push({ ...sum, spanName: greatest(names[number] as Map<string, number>) });
  }
  return rows;
}

/** Sums of a selection by label set. */
export interface SetSums {
  /** The sets of the selection's samples, in the order in which they appear. */
  readonly sets: readonly number[];
  /** Sums of values by set. */
  readonly totals: Float64Array;
  /** Numbers of samples by set. */
  readonly samples: Uint32Array;
}

/** Sums the values of a selection by label set, in steps. */
export function* sumsOfSets(profile: Profile, selection: Selection): Generator<void, SetSums> {
  const sets: number[] = [];
  const totals = new Float64Array(profile.labelSets.length);
  const samples = new Uint32Array(profile.labelSets.length);
  for (let i = 0; i < selection.length; i++) {
    const sample = selection[i] as number;
    const set = profile.labelSetOf[sample] as number;
    totals[set] = (totals[set] as number) + (profile.values[sample] as number);
    if (samples[set] === 0) sets.push(set);
    samples[set] = (samples[set] as number) + 1;
    if (i % STEP_ITEMS === 0) yield;
  }
  return { sets, totals, samples };
}

function greatest(sums: ReadonlyMap<string, number>): string {
  let best = '';
  let most = -Infinity;
  for (const [name, sum] of sums) {
    if (sum > most) [best, most] = [name, sum];
  }
  return best;
}

/** Returns the number of different values of a label; samples without it do not count. */
export function countValues(profile: Profile, selection: Selection, label: string): number {
  const values = new Set<string | undefined>();
  for (const sample of selection) {
    values.add(
      (profile.labelSets[profile.labelSetOf[sample] as number] as ProfileLabels).get(label),
    );
  }
  values.delete(undefined);
  return values.size;
}

/**
 * Returns rows of self and total value, the largest self value first. Functions with the same name
 * and file are one, as in `go tool pprof -filefunctions`; a function that calls itself counts once
 * per sample.
 */
export function topOf(profile: Profile, selection: Selection, by: Grouping): TopRow[] {
  if (by !== 'function' && by !== 'line') {
    return labelRows(profile, selection, by).map(({ value, total }) => ({
      name: value,
      file: '',
      line: 0,
      flat: total,
      cum: total,
    }));
  }
  const groups = new FrameGroups(profile, by);
  const flat = new Float64Array(groups.size);
  const cum = new Float64Array(groups.size);
  /** By group, 1 more than the index of the last sample that has it. */
  const seen = new Uint32Array(groups.size);
  for (const sample of selection) {
    const value = profile.values[sample] as number;
    const begin = profile.stackStarts[sample] as number;
    const end = profile.stackStarts[sample + 1] as number;
    for (let at = begin; at < end; at++) {
      const group = groups.of[profile.stacks[at] as number] as number;
      if (at === begin) flat[group] = (flat[group] as number) + value;
      if (seen[group] === sample + 1) continue;
      seen[group] = sample + 1;
      cum[group] = (cum[group] as number) + value;
    }
  }
  const rows: TopRow[] = [];
  for (let group = 0; group < groups.size; group++) {
    if (seen[group] === 0) continue;
    const { name, file, line } = groups.describe(group);
    rows.push({ name, file, line, flat: flat[group] as number, cum: cum[group] as number });
  }
  return rows.sort(
    (a, b) =>
      b.flat - a.flat || b.cum - a.cum || compare(a.name, b.name) || compare(a.file, b.file),
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Groups frames with the same name and file, and, by line, the same line. */
export class FrameGroups {
  /** The group of each frame. */
  readonly of: Uint32Array;
  readonly #profile: Profile;
  readonly #byLine: boolean;
  /** One frame of each group. */
  readonly #frames: number[] = [];

  constructor(profile: Profile, by: 'function' | 'line') {
    this.#profile = profile;
    this.#byLine = by === 'line';
    this.of = new Uint32Array(profile.functionOf.length);
    const known = new Map<string, number>();
    for (let frame = 0; frame < this.of.length; frame++) {
      const { name, file, line } = this.#frame(frame);
      const key = `${name}\0${file}\0${String(line)}`;
      let group = known.get(key);
      if (group === undefined) {
        group = this.#frames.push(frame) - 1;
        known.set(key, group);
      }
      this.of[frame] = group;
    }
  }

  get size(): number {
    return this.#frames.length;
  }

  /** Returns name, file, and the line if groups are lines, else 0. */
  describe(group: number): { name: string; file: string; line: number } {
    return this.#frame(this.#frames[group] as number);
  }

  #frame(frame: number): { name: string; file: string; line: number } {
    const index = this.#profile.functionOf[frame] as number;
    return {
      name: this.#profile.names[index] as string,
      file: this.#profile.files[index] as string,
      line: this.#byLine ? (this.#profile.lineOf[frame] as number) : 0,
    };
  }
}
