/** Reports to the application through OpenTelemetry's `diag`, at most once per cause. */
import { threadSingleton } from './thread-singleton.js';

interface DiagLogger {
  warn(message: string, ...args: unknown[]): void;
}

/**
 * The registry that every 1.x copy of `@opentelemetry/api` shares. It is read directly: a copy of
 * the api refuses the globals that a newer one has set, and the application's copy need not be
 * the one that this package would load.
 */
export const OTEL_GLOBAL = Symbol.for('opentelemetry.js.api.1');

/** What is said before the application has a logger is kept where `holdWarnings` asks for it. */
const MAX_HELD = 32;
const held = threadSingleton('held-warnings.v1', () => ({
  holding: false,
  warnings: [] as [string, unknown][],
}));

const said = threadSingleton('diagnostics.v1', () => new Set<string>());

/** Sends a warning to the registered diag logger, if there is one. Never throws. */
export function warn(message: string, error?: unknown): void {
  if (held.holding && logger() === undefined) {
    if (held.warnings.length < MAX_HELD) held.warnings.push([message, error]);
    return;
  }
  deliverHeldWarnings();
  send(message, error);
}

/** From now on warnings wait for a logger: the package is loaded before the application's SDK. */
export function holdWarnings(): void {
  held.holding = true;
}

/** Sends the warnings held, if there is a logger now. Never throws. */
export function deliverHeldWarnings(): void {
  if (held.warnings.length === 0 || logger() === undefined) return;
  for (const [message, error] of held.warnings.splice(0)) send(message, error);
}

/** Ends the holding, and returns what no logger has taken. */
export function takeHeldWarnings(): string[] {
  held.holding = false;
  return held.warnings
    .splice(0)
    .map(([message, error]) => (error instanceof Error ? `${message}: ${error.message}` : message));
}

function logger(): DiagLogger | undefined {
  try {
    return (globalThis as { [OTEL_GLOBAL]?: { diag?: DiagLogger } })[OTEL_GLOBAL]?.diag;
  } catch {
    return undefined;
  }
}

function send(message: string, error: unknown): void {
  try {
    if (error === undefined) logger()?.warn(`otelpyroscope: ${message}`);
    else logger()?.warn(`otelpyroscope: ${message}`, error);
  } catch {
    // A logger that throws must not reach the application's code.
  }
}

/** Like `warn`, but only for the first of all calls with this `cause` in this thread. */
export function warnOnce(cause: string, message: string, error?: unknown): void {
  if (said.has(cause)) return;
  said.add(cause);
  warn(message, error);
}
