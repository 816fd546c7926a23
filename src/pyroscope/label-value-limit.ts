/** Limits how many values of one label name are uploaded: each value is a series at the server. */
import { LABELS_WITHOUT_SERIES } from '../profile/pprof-parts.js';
import { monotonicMs } from '../util/clock.js';
import { warnOnce } from '../util/diagnostics.js';

/** The value that stands for all values beyond the limit. */
export const OTHER_VALUE = '(other)';
/** How long a value counts, in milliseconds. */
const PERIOD_MS = 3_600_000;
/** Label names whose values are counted; values of further names are all `(other)`. */
const MAX_NAMES = 256;
/** Values that the warning quotes. */
const EXAMPLES = 3;
/** Characters of a value that the warning quotes. */
const EXAMPLE_LENGTH = 80;

/**
 * Admits the first `limit` values of each label name in an hour, counted from the first value. One
 * per agent. 0: no limit.
 */
export class LabelValueLimit {
  readonly #limit: number;
  readonly #now: () => number;
  readonly #values = new Map<string, Set<string>>();
  /** Names that were warned of. */
  readonly #reported = new Set<string>();
  #hasReportedNames = false;
  #periodEnd = -Infinity;

  /** `now` returns milliseconds; another clock is for tests. */
  constructor(limit: number, now = monotonicMs) {
    this.#limit = limit;
    this.#now = now;
  }

  /** Whether this name's value is uploaded as it is; else `OTHER_VALUE` is uploaded instead. */
  admits(name: string, value: string): boolean {
    if (this.#limit === 0 || LABELS_WITHOUT_SERIES.has(name)) return true;
    this.#startPeriod();
    let values = this.#values.get(name);
    if (values === undefined) {
      if (this.#values.size >= MAX_NAMES) {
        this.#reportNames(name);
        return false;
      }
      values = new Set();
      this.#values.set(name, values);
    }
    if (values.has(value)) return true;
    if (values.size >= this.#limit) {
      this.#report(name, value, values);
      return false;
    }
    values.add(value);
    return true;
  }

  #startPeriod(): void {
    const now = this.#now();
    if (now < this.#periodEnd) return;
    this.#periodEnd = now + PERIOD_MS;
    this.#values.clear();
  }

  /** Composes the warning once: further names come with every sample. */
  #reportNames(name: string): void {
    if (this.#hasReportedNames) return;
    this.#hasReportedNames = true;
    warnOnce(
      'pyroscope-label-names',
      `more than ${String(MAX_NAMES)} label names had values in an hour: values of further ` +
        `names, such as ${JSON.stringify(name.slice(0, EXAMPLE_LENGTH))}, are uploaded as "${OTHER_VALUE}"`,
    );
  }

  /** Composes the warning once for each name: further values come by the thousand. */
  #report(name: string, value: string, values: ReadonlySet<string>): void {
    if (this.#reported.has(name)) return;
    this.#reported.add(name);
    const examples = [...[...values].slice(1 - EXAMPLES), value].map((text) =>
      JSON.stringify(text.slice(0, EXAMPLE_LENGTH)),
    );
    warnOnce(
      `pyroscope-label-values-${name}`,
      `the label ${JSON.stringify(name)} had more than ${String(this.#limit)} values in an hour ` +
        `(${examples.join(', ')}, …): further ones are uploaded as "${OTHER_VALUE}"; see maxLabelValues`,
    );
  }
}
