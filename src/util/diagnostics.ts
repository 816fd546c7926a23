/** Reports to the application what goes wrong: through OpenTelemetry's `diag`, else as a process warning. */
import { threadSingleton } from './thread-singleton.js';

interface DiagLogger {
  warn(message: string, ...args: unknown[]): void;
  info(message: string): void;
}

/**
 * The key of the registry that all 1.x copies of `@opentelemetry/api` share. The registry is read
 * directly: a copy of the api refuses the globals that a newer one has set, and the application's
 * copy need not be the one that this package would load.
 */
export const OTEL_GLOBAL = Symbol.for('opentelemetry.js.api.1');

/** `name` of the process warnings. */
const WARNING_NAME = 'OtelPyroscopeWarning';
/** Warnings held for a logger at most; see `holdWarnings`. */
const MAX_HELD = 32;
const held = threadSingleton('held-warnings.v1', () => ({
  holding: false,
  warnings: [] as [string, unknown][],
}));

const warned = threadSingleton('diagnostics.v1', () => new Set<string>());

/** Sends a warning to the registered diag logger; without one, emits it as a process warning. Never throws. */
export function warn(message: string, error?: unknown): void {
  if (logger() !== undefined) {
    deliverHeldWarnings();
    send(message, error);
  } else if (!held.holding) {
    emit(message, error);
  } else if (held.warnings.length < MAX_HELD) {
    held.warnings.push([message, error]);
  }
}

/** Sends a message to the registered diag logger, if there is one. Never throws. */
export function inform(message: string): void {
  try {
    logger()?.info(`otelpyroscope: ${message}`);
  } catch {
    // As in `send`.
  }
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

/** Stops holding warnings, and emits those that no logger has received. Never throws. */
export function emitHeldWarnings(): void {
  held.holding = false;
  for (const [message, error] of held.warnings.splice(0)) emit(message, error);
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

function emit(message: string, error: unknown): void {
  try {
    const text = error instanceof Error ? `${message}: ${error.message}` : message;
    process.emitWarning(`otelpyroscope: ${text}`, WARNING_NAME);
  } catch {
    // The application may have replaced `emitWarning`.
  }
}

/** `warn`, for the first call with this `cause` in this thread only. */
export function warnOnce(cause: string, message: string, error?: unknown): void {
  if (warned.has(cause)) return;
  warned.add(cause);
  warn(message, error);
}
