/** How options are read from the environment: what text means, and what is said where it is wrong. */
import { warnOnce } from './diagnostics.js';
import { describe, readEnvironment, Scope } from './options.js';

/** Options that the environment may give, and what is wrong with those that it gives. */
export class Environment {
  readonly #problems: string[] = [];

  /** The option as given, else as the environment has it, else `check(undefined)`: the default. */
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

  report(): void {
    if (this.#problems.length === 0) return;
    const problems = this.#problems.join('; ');
    warnOnce(`environment ${problems}`, `ignored in the environment: ${problems}`);
  }
}

/** Of options that are text. */
export const asText = (text: string): unknown => text;

/** `name=value,name=value`. */
export function parsePairs(text: string): Record<string, string> {
  const pairs: Record<string, string> = {};
  for (const pair of text.split(',').filter((part) => part.trim() !== '')) {
    const at = pair.indexOf('=');
    if (at < 1) throw new TypeError(`${describe(pair.trim())} is not name=value`);
    pairs[pair.slice(0, at).trim()] = pair.slice(at + 1).trim();
  }
  return pairs;
}

/** Values are percent-encoded: https://opentelemetry.io/docs/specs/otel/resource/sdk/ */
export function parseResourceAttributes(text: string): Record<string, string> {
  const pairs = parsePairs(text);
  for (const [name, value] of Object.entries(pairs)) {
    pairs[name] = decodeURIComponent(value.replace(/^"(.*)"$/, '$1'));
  }
  return pairs;
}

/** Other text stays text, for the check to refuse. */
export function parseFlag(text: string): unknown {
  return { true: true, false: false, 1: true, 0: false }[text.toLowerCase()] ?? text;
}

/** `none`, `root`, `all`. */
export function parseScope(text: string): Scope {
  const scopes = { none: Scope.None, root: Scope.RootSpan, all: Scope.AllSpans };
  const found = (scopes as Record<string, Scope | undefined>)[text.toLowerCase()];
  if (found === undefined) throw new TypeError(`must be none, root or all, got ${describe(text)}`);
  return found;
}

/** For a check that wants an object. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The parser's own message repeats the text, which may hold a secret.
    throw new TypeError('must be a JSON object');
  }
}
