/** Names of labels that Grafana shows: what is renamed, what is left, and who wins. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const { shownName, withShownNames } = require('../../../../lib/pyroscope/protocols/label-names.js');

describe('names of labels', () => {
  it('have an underscore for characters that Grafana does not show', () => {
    const names = {
      tenant: 'tenant',
      'http.route': 'http_route',
      'a-b.c': 'a_b_c',
      größe: 'gr__e',
      '😀': '_',
    };
    for (const [name, shown] of Object.entries(names)) assert.equal(shownName(name), shown);
  });

  it('do not become a reserved name', () => {
    const names = ['trace.id', 'span.id', 'span.name', 'profile.id', 'thread.name', '_.name._'];
    for (const name of names) assert.equal(shownName(name), name);
  });

  it('are given to the first label, unless another had the name before', () => {
    assert.deepEqual(withShownNames({ 'a.b': '1', 'a-b': '2', c: '3' }), { a_b: '1', c: '3' });
    assert.deepEqual(withShownNames({ 'a.b': '1', a_b: '2' }), { a_b: '2' });
    assert.deepEqual(withShownNames({ a_b: '2', 'a.b': '1' }), { a_b: '2' });
  });
});
