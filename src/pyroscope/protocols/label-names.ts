/** Names of labels as Grafana shows them: letters, digits and underscores. */
import { warnOnce } from '../../util/diagnostics.js';

/** Labels that have a meaning for the server or this package: no other label is renamed to them. */
const RESERVED: ReadonlySet<string> = new Set([
  ...['__name__', 'profile_id', 'span_id', 'span_name', 'thread_name', 'trace_id'],
]);

/**
 * Returns `http_route` for `http.route`, as in OpenTelemetry's mapping to Prometheus. Pyroscope
 * stores other names, but leaves them out of its responses unless a client asks for names in UTF-8,
 * which most versions of Grafana do not.
 */
export function shownName(name: string): string {
  const shown = name.replace(/[^A-Za-z0-9_]/gu, '_');
  return RESERVED.has(shown) ? name : shown;
}

/**
 * Returns the labels under names that Grafana shows. If two get the same name, the one that had it
 * before is kept, else the first.
 */
export function withShownNames(labels: Readonly<Record<string, string>>): Record<string, string> {
  const shown: Record<string, string> = {};
  for (const [name, value] of Object.entries(labels)) {
    const target = shownName(name);
    if (target === name || (!Object.hasOwn(labels, target) && !Object.hasOwn(shown, target))) {
      shown[target] = value;
    } else reportDroppedLabel(name, target);
  }
  return shown;
}

/** Warns, once, of a label that is dropped because another has its new name. */
export function reportDroppedLabel(name: string, shown: string): void {
  warnOnce(
    'pyroscope-label-name',
    `the label ${JSON.stringify(name)} is not uploaded: Pyroscope would call it "${shown}", which another label is called`,
  );
}
