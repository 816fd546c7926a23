/** Warns the application through OpenTelemetry's `diag`, at most once per cause. */
import { threadSingleton } from './thread-singleton.js';

interface DiagLogger {
  warn(message: string, ...args: unknown[]): void;
}

/**
 * The key of the registry that all 1.x copies of `@opentelemetry/api` share. The registry is read
 * directly: a copy of the api refuses the globals that a newer one has set, and the application's
 * copy need not be the one that this package would load.
 */
export const OTEL_GLOBAL = Symbol.for('opentelemetry.js.api.1');

/** Warnings held for a logger at most; see `holdWarnings`. */
const MAX_HELD = 32;
const held = threadSingleton('held-warnings.v1', () => ({
  holding: false,
  warnings: [] as [string, unknown][],
}));

const warned = threadSingleton('diagnostics.v1', () => new Set<string>());

/** Sends a warning to the registered diag logger, if there is one. Never throws. */
export function warn(message: string, error?: unknown): void {
  if (held.holding && logger() === undefined) {
    if (held.warnings.length < MAX_HELD) held.warnings.push([message, error]);
    return;
  }
  deliverHeldWarnings();
  send(message, error);
}

/** Holds warnings until there is a logger: the package is loaded before the application's SDK. */
export function holdWarnings(): void {
  held.holding = true;
}

/** Sends the held warnings, if there is a logger now. Never throws. */
export function deliverHeldWarnings(): void {
  if (held.warnings.length === 0 || logger() === undefined) return;
  for (const [message, error] of held.warnings.splice(0)) send(message, error);
}

/** Stops holding warnings, and returns those that no logger has received. */
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

/** `warn`, for the first call with this `cause` in this thread only. */
export function warnOnce(cause: string, message: string, error?: unknown): void {
  if (warned.has(cause)) return;
  warned.add(cause);
  warn(message, error);
}
