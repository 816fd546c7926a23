/** Options that otel-profiling-go marks "DEPRECATED: ignored": accepted, and reported once. */
import { warn } from '../util/diagnostics.js';
import { threadSingleton } from '../util/thread-singleton.js';

/** Accepted so that configurations written for otel-profiling-go still work; none has an effect. */
export interface DeprecatedLabelOptions {
  /** @deprecated Ignored. */
  appName?: unknown;
  /** @deprecated Ignored. */
  pyroscopeUrl?: unknown;
  /** @deprecated Ignored. */
  pyroscopeURL?: unknown;
  /** @deprecated Ignored. */
  profileUrl?: unknown;
  /** @deprecated Ignored. */
  profileURL?: unknown;
  /** @deprecated Ignored. */
  includeProfileUrl?: unknown;
  /** @deprecated Ignored. */
  includeProfileURL?: unknown;
  /** @deprecated Ignored. */
  profileBaselineUrl?: unknown;
  /** @deprecated Ignored. */
  profileBaselineURL?: unknown;
  /** @deprecated Ignored. */
  includeProfileBaselineUrl?: unknown;
  /** @deprecated Ignored. */
  includeProfileBaselineURL?: unknown;
  /** @deprecated Ignored. */
  profileBaselineLabels?: unknown;
  /** @deprecated Ignored. */
  profileUrlBuilder?: unknown;
  /** @deprecated Ignored. */
  profileURLBuilder?: unknown;
  /** @deprecated Ignored. */
  defaultProfileUrlBuilder?: unknown;
  /** @deprecated Ignored. */
  defaultProfileURLBuilder?: unknown;
  /** @deprecated Ignored; see `spanIdScope`. */
  rootOnly?: unknown;
  /** @deprecated Ignored; see `spanIdScope`. */
  rootSpanOnly?: unknown;
  /** @deprecated Ignored; see `spanNameScope`. */
  addSpanName?: unknown;
}

const DEPRECATED: ReadonlySet<string> = new Set<keyof DeprecatedLabelOptions>([
  'appName',
  'pyroscopeUrl',
  'pyroscopeURL',
  'profileUrl',
  'profileURL',
  'includeProfileUrl',
  'includeProfileURL',
  'profileBaselineUrl',
  'profileBaselineURL',
  'includeProfileBaselineUrl',
  'includeProfileBaselineURL',
  'profileBaselineLabels',
  'profileUrlBuilder',
  'profileURLBuilder',
  'defaultProfileUrlBuilder',
  'defaultProfileURLBuilder',
  'rootOnly',
  'rootSpanOnly',
  'addSpanName',
]);

const reported = threadSingleton('deprecated.v1', () => new Set<string>());

/** Whether `name` is one of the accepted and ignored options. */
export function isDeprecatedOption(name: string): boolean {
  return DEPRECATED.has(name);
}

/** Lists the ignored options among `names` in one `diag.warn`, each name once per thread. */
export function warnDeprecated(names: readonly string[]): void {
  const fresh = names.filter((name) => !reported.has(name));
  if (fresh.length === 0) return;
  for (const name of fresh) reported.add(name);
  warn(`these deprecated options have no effect: ${fresh.join(', ')}`);
}
