/** Summarizes a profile in a few lines: CPU by span name, the most expensive traces, the top functions (pure). */
import type { Profile } from '../profile/model.js';
import type { ClockInUse } from '../util/sample-clock.js';
import { allOf, labelNames, labelRows, topOf, totalOf, type LabelRow } from '../profile/query.js';
import { PROCESS_LABEL, type Outcome } from './merge-parts.js';
import type { PartRecord } from './parts.js';
import { amount, cutEnd, NO_VALUE, percent, printable, styleFor, WIDTH } from './text.js';
import { topTable } from './top.js';

const SPAN_NAMES = 8;
const TRACES = 5;
const FUNCTIONS = 8;
/** Labels of the user's own that are shown, and values of each. */
const OWN_LABELS = 4;
const OWN_VALUES = 4;

/** Labels that are no labels of the user's own. */
const OTHER_LABELS = ['pid', PROCESS_LABEL, 'span_id', 'span_name', 'thread_name', 'trace_id'];
const CLOCK_TEXTS = {
  tick: 'at ticks of the scheduler',
  precise: 'when the CPU time is used',
  perf: 'when the CPU time is used',
};

/** How the samples were taken. */
export interface Sampling {
  readonly intervalMicros: number;
  /** Those in use, in the processes of the profile. */
  readonly clocks: readonly ClockInUse[];
}

/** Returns lines of at most 80 columns. */
export function summary(profile: Profile, sampling: Sampling, colours: boolean): string {
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
  text += `${samplingText(sampling)}\n`;
  if (names.some(withValue)) {
    text += '\n' + style.bold('By span name') + '\n';
    for (const { value, total: part } of names.slice(0, SPAN_NAMES)) {
      text += row(part, value === '' ? NO_VALUE : value);
    }
  } else {
    text += 'No sample has a span: no OpenTelemetry tracer provider was at work.\n';
  }
  for (const label of [PROCESS_LABEL, ...ownLabels(profile)]) {
    const rows = labelRows(profile, all, label);
    if (!rows.some(withValue)) continue;
    text += '\n' + style.bold(`By ${cutEnd(printable(label), WIDTH - 20)}`) + '\n';
    for (const { value, total: part } of rows.slice(0, OWN_VALUES)) {
      text += row(part, value === '' ? NO_VALUE : value);
    }
    const more = rows.length - OWN_VALUES;
    if (more > 0) text += style.dim(`${' '.repeat(20)}… and ${String(more)} more`) + '\n';
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

function ownLabels(profile: Profile): string[] {
  const names = labelNames(profile).map(({ name }) => name);
  return names.filter((name) => !OTHER_LABELS.includes(name)).slice(0, OWN_LABELS);
}

/** Returns such as "A sample per 10 ms of CPU, at ticks of the scheduler (clock: tick)". */
function samplingText({ intervalMicros, clocks }: Sampling): string {
  const how = [...new Set(clocks)].map((clock) => `${CLOCK_TEXTS[clock]} (clock: ${clock})`);
  return `A sample per ${cpu(intervalMicros)} of CPU, ${how.join(', or ')}`;
}

/** Names shown of the processes of one kind. */
const NAMES = 5;

/** Returns sentences on what the profile does not contain. */
export function leftOut(outcome: Outcome): string[] {
  const { managers, children, running, killed, failed, otherMicros, droppedSamples } = outcome;
  const sentences: string[] = [];
  const count = (list: readonly PartRecord[], kind = ''): string =>
    `${String(list.length)} ${kind}process${list.length === 1 ? '' : 'es'}`;
  if (children.processes.length > 0) {
    sentences.push(
      `${count(children.processes, 'child ')} used ${cpu(children.cpuMicros)} of CPU, ` +
        `not included: ${namesOf(children.processes)}`,
    );
  }
  if (droppedSamples > 0) {
    sentences.push(
      `${String(droppedSamples)} samples had no room; their CPU is in the profile as (dropped samples)`,
    );
  }
  if (managers.processes.length > 0) {
    sentences.push(
      `${namesOf(managers.processes)} used ${cpu(managers.cpuMicros)} of CPU, not included`,
    );
  }
  if (otherMicros > 0) {
    sentences.push(
      `other child processes used ${cpu(otherMicros)} of CPU, not included: ` +
        'they are not Node.js, or were started with another environment',
    );
  }
  if (killed.length > 0) {
    sentences.push(
      `${count(killed)} left no profile, because it was killed or could not write it: ${namesOf(killed)}`,
    );
  }
  for (const reason of new Set(failed.map((record) => record.reason))) {
    const those = failed.filter((record) => record.reason === reason);
    sentences.push(`no profile of ${namesOf(those)}: ${reason ?? ''}`);
  }
  if (running.length > 0) {
    const which = running.map(({ name, pid }) => `${name} (${String(pid)})`);
    sentences.push(
      `${count(running)} still running, not included: ${which.slice(0, NAMES).join(', ')}`,
    );
  }
  return sentences;
}

function cpu(micros: number): string {
  return amount(micros, { type: '', unit: 'microseconds' });
}

/** Returns "worker.js (3), job.js". */
function namesOf(records: readonly PartRecord[]): string {
  const counts = new Map<string, number>();
  for (const { name } of records) counts.set(name, (counts.get(name) ?? 0) + 1);
  const names = [...counts].map(([name, times]) => name + (times > 1 ? ` (${String(times)})` : ''));
  const more = names.length > NAMES ? ` and ${String(names.length - NAMES)} more` : '';
  return printable(names.slice(0, NAMES).join(', ')) + more;
}
