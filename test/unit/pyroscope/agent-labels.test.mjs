/** Checks that the agent's own labels give way to the user's tags, and to the server's limit. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const { withAgentLabels } = createRequire(import.meta.url)(
  '../../../lib/pyroscope/agent-labels.js',
);
const NAMES = [
  ...['otel.scope.name', 'otel.scope.version', 'process.runtime.name'],
  'process.runtime.version',
];

describe("the agent's own labels", function () {
  it('are replaced by tags of their names, with dots or underscores', () => {
    const tags = { 'otel.scope.name': 'mine', process_runtime_name: 'mine too', zone: 'a' };
    const labels = withAgentLabels(tags);
    assert.deepEqual(Object.keys(labels).sort(), [
      ...['otel.scope.name', 'otel.scope.version', 'process.runtime.version'],
      ...['process_runtime_name', 'zone'],
    ]);
    assert.equal(labels['process.runtime.version'], process.versions.node);
    for (const [name, value] of Object.entries(tags)) assert.equal(labels[name], value);
  });

  it('leave the room of 16 tags to the tags', () => {
    for (const [tags, added] of [
      [12, 4],
      [14, 2],
      [16, 0],
    ]) {
      const given = Object.fromEntries(Array.from({ length: tags }, (_, i) => [`tag${i}`, 'x']));
      const labels = withAgentLabels(given);
      assert.deepEqual(
        Object.keys(labels).filter((name) => !(name in given)),
        NAMES.slice(0, added),
      );
    }
  });
});
