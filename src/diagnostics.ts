/** Reports to the application through OpenTelemetry's `diag`, at most once per cause. */
import { processWide } from './process-wide.js';

interface DiagLogger {
  warn(message: string, ...args: unknown[]): void;
}

/**
 * The registry that every 1.x copy of `@opentelemetry/api` shares. It is read directly: a copy of
 * the api refuses the globals that a newer one has set, and the application's copy need not be
 * the one that this package would load.
 */
export const OTEL_GLOBAL = Symbol.for('opentelemetry.js.api.1');

const said = processWide('diagnostics.v1', () => new Set<string>());

/** Sends a warning to the registered diag logger, if there is one. Never throws. */
export function warn(message: string, error?: unknown): void {
  try {
    const api = (globalThis as { [OTEL_GLOBAL]?: { diag?: DiagLogger } })[OTEL_GLOBAL];
    if (error === undefined) api?.diag?.warn(`otelpyroscope: ${message}`);
    else api?.diag?.warn(`otelpyroscope: ${message}`, error);
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
