/** Reads options from the environment: parses their text, and reports wrong values. */
import { warnOnce } from '../util/diagnostics.js';
import { describe, readEnvironment, Scope } from './options.js';
import { suggestion } from './suggestions.js';

const PREFIX = 'PYROSCOPE_';

/** The variables with that prefix that the package reads. */
export const VARIABLES: readonly string[] = [
  'PYROSCOPE_APPLICATION_NAME',
  'PYROSCOPE_AUTH_TOKEN',
  'PYROSCOPE_BASIC_AUTH_PASSWORD',
  'PYROSCOPE_BASIC_AUTH_USER',
  'PYROSCOPE_FLUSH_INTERVAL_MS',
  'PYROSCOPE_HTTP_HEADERS',
  'PYROSCOPE_MAX_LABEL_VALUES',
  'PYROSCOPE_OTEL_ATTRIBUTE_LABELS',
  'PYROSCOPE_OTEL_CPU_TIME_ATTRIBUTE',
  'PYROSCOPE_OTEL_SPAN_ID_SCOPE',
  'PYROSCOPE_OTEL_SPAN_NAME_SCOPE',
  'PYROSCOPE_PROFILING_ENABLED',
  'PYROSCOPE_PROTOCOL',
  'PYROSCOPE_SAMPLING_CLOCK',
  'PYROSCOPE_SAMPLING_INTERVAL_MICROS',
  'PYROSCOPE_SERVER_ADDRESS',
  'PYROSCOPE_SHORTEN_PATHS',
  'PYROSCOPE_STRIP_FILENAMES',
  'PYROSCOPE_TAGS',
  'PYROSCOPE_TENANT_ID',
  'PYROSCOPE_TIMEOUT_MS',
];

/** Reads options that the environment may give, and collects the wrong values among them. */
export class Environment {
  readonly #problems: string[] = [];

  /** Returns the checked option: `given`, else the variable's, else `check(undefined)`. */
  option<T>(
    given: unknown,
    variable: string,
    parse: (text: string) => unknown,
    check: (value: unknown) => T,
  ): T {
    if (given !== undefined) return check(given);
    const text = readEnvironment(variable);
    if (text !== undefined) {
      try {
        return check(parse(text));
      } catch (error) {
        this.problem(`${variable}: ${(error as Error).message}`);
      }
    }
    return check(undefined);
  }

  problem(text: string): void {
    this.#problems.push(text);
  }

  /** Warns of wrong values, and of variables whose name is misspelt. */
  report(): void {
    warnOfMisspelt();
    if (this.#problems.length === 0) return;
    const problems = this.#problems.join('; ');
    warnOnce(`environment ${problems}`, `ignored environment variables: ${problems}`);
  }
}

/**
 * Names only what is like a variable of ours: other tools have some with this prefix, and Kubernetes
 * makes `PYROSCOPE_PORT` and the like for a service of that name.
 */
function warnOfMisspelt(): void {
  for (const name of Object.keys(process.env)) {
    if (!name.startsWith(PREFIX) || VARIABLES.includes(name)) continue;
    const meant = suggestion(name, VARIABLES);
    if (meant !== '') warnOnce(`variable ${name}`, `${name} is not read${meant}`);
  }
}

/** The parser of options that are text. */
export const asText = (text: string): unknown => text;

/** Parses `name=value,name=value`. */
export function parsePairs(text: string): Record<string, string> {
  const pairs: [string, string][] = [];
  for (const pair of text.split(',').filter((part) => part.trim() !== '')) {
    const equals = pair.indexOf('=');
    if (equals < 1) throw new TypeError(`${describe(pair.trim())} is not name=value`);
    pairs.push([pair.slice(0, equals).trim(), pair.slice(equals + 1).trim()]);
  }
  // A name may be any text, such as __proto__, for which an assignment would add no property.
  return Object.fromEntries(pairs);
}

/** Parses pairs with percent-encoding: https://opentelemetry.io/docs/specs/otel/resource/sdk/ */
export function parseResourceAttributes(text: string): Record<string, string> {
  const pairs = Object.entries(parsePairs(text));
  return Object.fromEntries(
    pairs.map(([name, value]) => [name, decodeURIComponent(value.replace(/^"(.*)"$/, '$1'))]),
  );
}

/** Parses headers of OTLP exporters: https://opentelemetry.io/docs/specs/otel/protocol/exporter/ */
export function parseOtlpHeaders(text: string): Record<string, string> {
  try {
    const pairs = Object.entries(parsePairs(text));
    return Object.fromEntries(pairs.map(([name, value]) => [name, decodeURIComponent(value)]));
  } catch {
    // Without the text, which may contain a secret.
    throw new TypeError('must be name=value,name=value with percent-encoded values');
  }
}

const FLAGS = new Map([
  ['true', true],
  ['1', true],
  ['false', false],
  ['0', false],
]);
const SCOPES = new Map([
  ['none', Scope.None],
  ['root', Scope.RootSpan],
  ['all', Scope.AllSpans],
]);

/** Parses a number; returns other text unchanged, which the check then refuses and quotes. */
export function parseNumber(text: string): unknown {
  const number = Number(text);
  return Number.isNaN(number) ? text : number;
}

/** Parses `true`, `1`, `false`, `0`; returns other text unchanged, which the check then refuses. */
export function parseFlag(text: string): unknown {
  return FLAGS.get(text.toLowerCase()) ?? text;
}

/** Parses `none`, `root`, `all`. */
export function parseScope(text: string): Scope {
  const found = SCOPES.get(text.toLowerCase());
  if (found === undefined) throw new TypeError(`must be none, root or all, got ${describe(text)}`);
  return found;
}

/** Parses `name,name`. */
export function parseNames(text: string): string[] {
  return text
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}

/** Parses JSON, for a check that requires an object. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own message repeats the text, which may contain a secret.
    throw new TypeError('must be a JSON object');
  }
}
