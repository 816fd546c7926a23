/** A logger that keeps what the package says through OpenTelemetry's diag. */
import { diag, DiagLogLevel } from '@opentelemetry/api';

/** Messages from now on; `close()` takes the logger away. */
export function logDiag() {
  const messages = [];
  const keep = (message, error) =>
    messages.push(error === undefined ? message : `${message} ${error}`);
  const ignore = () => {};
  const logger = { warn: keep, error: ignore, info: ignore, debug: ignore, verbose: ignore };
  diag.setLogger(logger, { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
  return { messages, close: () => diag.disable() };
}
