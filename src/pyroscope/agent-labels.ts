/** The labels of a series that name the profiler and the runtime, as @pyroscope/nodejs adds them. */
import { MAX_TAGS } from '../options/pyroscope.js';
import { VERSION } from '../util/version.js';
import { shownName } from './protocols/label-names.js';

const AGENT_LABELS: Readonly<Record<string, string>> = {
  'otel.scope.name': 'otelpyroscope',
  'otel.scope.version': VERSION,
  'process.runtime.name': 'nodejs',
  'process.runtime.version': process.versions.node,
};

/**
 * Returns the tags, and those of the four labels that have room beside them in a series. A tag of the
 * same name, with dots or underscores, replaces the label.
 */
export function withAgentLabels(tags: Readonly<Record<string, string>>): Record<string, string> {
  const taken = new Set(Object.keys(tags).map(shownName));
  const room = MAX_TAGS - Object.keys(tags).length;
  const added = Object.entries(AGENT_LABELS)
    .filter(([name]) => !taken.has(shownName(name)))
    .slice(0, room);
  return { ...Object.fromEntries(added), ...tags };
}
