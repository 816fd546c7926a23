/** Labels of the user's own: `withLabels` and `getLabels`. */
import { activeLabels } from './active-labels.js';
import {
  createLabelSet,
  createUserLabels,
  labelsOfSet,
  mergeUserLabels,
  userOnly,
  withUserLabels,
  type LabelSet,
  type TraceLabels,
  type UserLabels,
} from './label-set.js';
import { findByNames, rememberLabels, slotOf } from './known-labels.js';
import { cutValue } from './label-values.js';
import { createSpanDetails } from './span-details.js';

const NAME = /^[A-Za-z_][A-Za-z0-9_.]*$/;
const RESERVED: ReadonlySet<string> = new Set(['__name__', 'profile_id', 'thread_name']);
/** Labels that belong to spans. */
const OF_SPANS: ReadonlySet<string> = new Set(['trace_id', 'span_id', 'span_name']);

const NO_TRACE: TraceLabels = {
  traceId: '',
  rootSpanId: '',
  rootSampled: false,
  root: createSpanDetails(''),
  traceIdLabel: '',
  spanIdLabel: '',
  named: undefined,
};

/**
 * Calls `fn` with `labels` merged over the current ones, and returns what it returns. They are
 * current during the call and in all asynchronous work that it starts; on return or throw the
 * labels from before are current again. It works with and without a running profiler.
 *
 * They stay current when a span becomes active inside: its labels are merged with them, and a span
 * keeps those current at its start wherever its context is entered. `trace_id`, `span_id` and
 * `span_name` belong to spans: set here, they last until the next labelled span.
 *
 * Names match `[A-Za-z_][A-Za-z0-9_.]*` and are not `__name__`, `profile_id` or `thread_name`;
 * values are strings. A TypeError otherwise, before `fn` is called. Values are cut at 2,048 bytes
 * of UTF-8, and at most 32 labels are current: more are dropped, counted, and reported once by
 * `diag`.
 */
export function withLabels<T>(labels: Record<string, string>, fn: () => T): T {
  if (typeof labels !== 'object' || labels === null || Array.isArray(labels)) {
    throw new TypeError('labels must be an object of strings');
  }
  if (typeof fn !== 'function') throw new TypeError(`fn must be a function, got ${typeof fn}`);
  const set = setOf(labels, activeLabels.current());
  if (set === undefined) return fn();
  try {
    return activeLabels.run(set, fn, undefined, []);
  } finally {
    activeLabels.release(set);
  }
}

/** Returns a copy of the current labels, spans' and the user's own; empty if there are none. */
export function getLabels(): Record<string, string> {
  const set = activeLabels.current();
  return set === undefined ? {} : { ...labelsOfSet(set) };
}

/** Returns the label's value, cut if it is too long. Throws a TypeError if the label is none. */
function checkedValue(name: string, value: unknown): string {
  if (!NAME.test(name) || RESERVED.has(name)) {
    throw new TypeError(
      `label name ${JSON.stringify(name)} must match ${NAME.source} and not be ${[...RESERVED].join(', ')}`,
    );
  }
  if (typeof value !== 'string') {
    throw new TypeError(
      `label ${name} must be a string, got ${value === null ? 'null' : typeof value}`,
    );
  }
  return cutValue(value);
}

/** Returns the set to make current, or undefined if it would equal the current one. */
function setOf(
  labels: Readonly<Record<string, unknown>>,
  current: LabelSet | undefined,
): LabelSet | undefined {
  const names = Object.keys(labels);
  const values = names.map((name) => labels[name]);
  const slot = slotOf(names, values);
  const known = findByNames(slot, names);
  if (known?.values.every((value, i) => value === values[i]) === true) {
    return setOver(current, known);
  }
  // Labels that have a slot are short strings.
  const texts =
    known === undefined
      ? names.map((name, i) => checkedValue(name, values[i]))
      : (values as string[]);
  activeLabels.hasUserLabels = true;
  if (known === undefined && names.some((name) => OF_SPANS.has(name))) {
    return setWithSpanLabels(names, texts, current);
  }
  if (names.length === 0) return undefined;
  const added = createUserLabels(known?.names ?? names, texts);
  rememberLabels(slot, added);
  return setOver(current, added);
}

/** The same for labels of which some are a span's. */
function setWithSpanLabels(
  names: readonly string[],
  values: readonly string[],
  current: LabelSet | undefined,
): LabelSet {
  const trace: { -readonly [K in keyof TraceLabels]: TraceLabels[K] } = {
    ...(current?.trace ?? NO_TRACE),
  };
  for (const [i, name] of names.entries()) {
    const value = values[i] as string;
    if (name === 'trace_id') trace.traceIdLabel = value;
    else if (name === 'span_id') trace.spanIdLabel = value;
    else if (name === 'span_name')
      trace.named = value === '' ? undefined : createSpanDetails(value);
  }
  const isOwn = (_: string, i: number): boolean => !OF_SPANS.has(names[i] as string);
  const ownNames = names.filter(isOwn);
  const added =
    ownNames.length === 0 ? undefined : createUserLabels(ownNames, values.filter(isOwn));
  const user = mergeUserLabels(current?.user, added);
  return createLabelSet(trace, user, undefined, '', current?.base);
}

/** The same for checked labels of the user's own alone. */
function setOver(current: LabelSet | undefined, added: UserLabels): LabelSet | undefined {
  const user = mergeUserLabels(current?.user, added);
  if (user === current?.user) return undefined;
  if (current?.trace === undefined) return userOnly(user);
  const { base, trace } = current;
  if (base.trace === trace) return withUserLabels(base, user);
  return createLabelSet(trace, user, undefined, '', base);
}
