/** Computes the demo's tables and its verdict from a profile and the exported spans; no I/O. */

import { basename } from 'node:path';

/** Least fraction of the process's CPU that must carry all three labels. */
export const REQUIRED_SHARE = 0.6;

const SPAN_LABELS = ['trace_id', 'span_id', 'span_name'];

/**
 * Compares the samples with the spans.
 *
 * @param {import('../../test/support/read-profile.mjs').ReadProfile} profile
 * @param {import('./span-log.cjs').LoggedSpan[]} spans All exported spans.
 * @param {number} processNanos CPU of the whole process in the profile's window.
 */
export function analyse(profile, spans, processNanos) {
  const labelled = profile.nanos(hasSpanLabels);
  return {
    profile,
    spans,
    processNanos,
    labelled,
    share: labelled / processNanos,
    ...compareLabels(profile, spans),
  };
}

/** Returns what is wrong with the run, one sentence each; empty if nothing is. */
export function problems(analysis, load, droppedSpans) {
  const { profile, processNanos, share, unknownIds, wrongNames } = analysis;
  const found = [];
  if (load.errors > 0) found.push(`${load.errors} requests failed.`);
  if (load.non2xx > 0) found.push(`${load.non2xx} requests were not answered with 200.`);
  if (share < REQUIRED_SHARE) {
    found.push(
      `Only ${percent(share)} of the CPU carries all three labels; ` +
        `at least ${percent(REQUIRED_SHARE)} should.`,
    );
  }
  // Sampling counts whole periods, so the profile may exceed the truth by a sample or two.
  if (profile.totalNanos > processNanos * 1.02) {
    found.push('The profile has more CPU than the process used.');
  }
  if (droppedSpans > 0) found.push(`${droppedSpans} exported spans did not fit into memory.`);
  if (unknownIds.length > 0) {
    found.push(
      `${unknownIds.length} span ids of the profile are not among the exported spans, ` +
        `the first is ${unknownIds[0]}.`,
    );
  }
  if (wrongNames.length > 0) {
    found.push(`Samples have names that are not those of their spans: ${wrongNames.join(', ')}.`);
  }
  return found;
}

/** CPU by span name, the most expensive first. */
export function spanTable({ profile, spans, processNanos }) {
  const callsOf = new Map();
  for (const { name } of spans) callsOf.set(name, (callsOf.get(name) ?? 0) + 1);
  const rows = [...profile.nanosBy('span_name')]
    .filter(([name]) => name !== undefined)
    .map(([name, nanos]) => {
      const calls = callsOf.get(name) ?? 0;
      const perCall = `${(nanos / 1e6 / calls).toFixed(2)} ms`;
      return [cut(name, 44), millis(nanos), percent(nanos / processNanos), count(calls), perCall];
    });
  const others = profile.nanos(isOtherThreads);
  const unlabelled = profile.nanos((sample) => sample.labels.span_name === undefined) - others;
  const rest = (title, nanos) => [title, millis(nanos), percent(nanos / processNanos), '', ''];
  return table(
    ['span name', 'CPU', 'share', 'calls', 'CPU per call'],
    [
      ...rows,
      rest('(none)', unlabelled),
      rest('(other threads: pool, GC, compiler)', others),
      rest('process', processNanos),
    ],
  );
}

/** The most expensive traces, each with the functions that were on the CPU. */
export function traceReport({ profile, spans }, limit = 5, functionsEach = 3) {
  const byTrace = Map.groupBy?.(spans, (span) => span.traceId) ?? groupByTrace(spans);
  const lines = [];
  const traces = [...profile.nanosBy('trace_id')].filter(([id]) => id !== undefined);
  for (const [index, [traceId, nanos]] of traces.slice(0, limit).entries()) {
    const members = byTrace.get(traceId) ?? [];
    const root = members.find((span) => span.parentSpanId === undefined);
    const wall = root === undefined ? '?' : millis(root.millis * 1e6);
    lines.push(
      `${index + 1}. ${cut(root?.name ?? '(root span not exported)', 40)}`,
      `   trace ${traceId}: CPU ${millis(nanos)}, from first to last ${wall}, ` +
        `${count(members.length)} spans`,
      ...topFunctions(profile, traceId, functionsEach).map(
        ([name, self]) =>
          `${millis(self).padStart(12)}  ${percent(self / nanos).padStart(7)}  ${name}`,
      ),
    );
  }
  return lines;
}

/** The span with the most CPU, to show how a profile is narrowed to one span. */
export function hottestSpanId({ profile }) {
  return [...profile.nanosBy('span_id')].find(([id]) => id !== undefined)?.[0];
}

/** Milliseconds with thousands separators. */
export function millis(nanos) {
  return `${count(Math.round(nanos / 1e6))} ms`;
}

/** An integer with thousands separators. */
export function count(value) {
  return value.toLocaleString('en');
}

/** A fraction as a percentage with one decimal. */
export function percent(fraction) {
  return `${(fraction * 100).toFixed(1)} %`;
}

function isOtherThreads({ stack }) {
  return stack[0]?.name === '(other threads)';
}

function hasSpanLabels(sample) {
  return SPAN_LABELS.every((label) => sample.labels[label] !== undefined);
}

/**
 * Returns pairs of ids in the profile that no exported span has, and names in it that are not those
 * of the spans with these ids.
 */
function compareLabels(profile, spans) {
  const nameOf = new Map(spans.map((span) => [`${span.traceId} ${span.spanId}`, span.name]));
  const unknownIds = new Set();
  const wrongNames = new Set();
  for (const { labels } of profile.samples) {
    if (labels.span_id === undefined) continue;
    const ids = `${labels.trace_id} ${labels.span_id}`;
    if (!nameOf.has(ids)) unknownIds.add(ids);
    else if (nameOf.get(ids) !== labels.span_name) wrongNames.add(labels.span_name);
  }
  return { unknownIds: [...unknownIds], wrongNames: [...wrongNames] };
}

/** Functions by their own CPU within one trace, as [description, nanoseconds]. */
function topFunctions(profile, traceId, limit) {
  const functions = new Map();
  for (const { stack, labels, nanos } of profile.samples) {
    if (labels.trace_id !== traceId) continue;
    const [leaf] = stack;
    const place = leaf?.file ? ` (${basename(leaf.file)}:${leaf.startLine})` : '';
    const name = cut(`${leaf?.name ?? '(no frames)'}${place}`, 72);
    functions.set(name, (functions.get(name) ?? 0) + nanos);
  }
  return [...functions].sort((a, b) => b[1] - a[1]).slice(0, limit);
}

/** `Map.groupBy` for Node 20. */
function groupByTrace(spans) {
  const groups = new Map();
  for (const span of spans) {
    if (!groups.has(span.traceId)) groups.set(span.traceId, []);
    groups.get(span.traceId).push(span);
  }
  return groups;
}

/** Lines of a table: the first column to the left, the others to the right. */
function table(header, rows) {
  const widths = header.map((_, column) =>
    Math.max(...[header, ...rows].map((row) => row[column].length)),
  );
  return [header, ...rows].map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column]),
      )
      .join('  ')
      .trimEnd(),
  );
}

function cut(text, length) {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
