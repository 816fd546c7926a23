/** Names of labels that Grafana shows: what is renamed, what is left, and who wins. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { gunzipSync, gzipSync } from 'node:zlib';
import { makeWindow } from '../../../support/make-window.mjs';
import { decodePprof } from '../../../support/pyroscope-rules.mjs';

const require = createRequire(import.meta.url);
const {
  renameLabels,
  shownName,
  withShownNames,
} = require('../../../../lib/pyroscope/protocols/label-names.js');

const labelsOf = (gzipped) =>
  decodePprof(gzipped).samples.map(({ labels }) => Object.fromEntries(labels));

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

  it('leave a profile unchanged if all are valid', async () => {
    const gzipped = makeWindow(100, (index) => ({ route: `/a.b/${index}` }));
    const renamed = await renameLabels(gzipped);
    assert.equal(renamed.gzipped, gzipped);
    assert.equal(renamed.droppedLabels, 0);
  });

  it('are all that is changed in a profile', async () => {
    const labels = [
      { 'http.route': '/a', tenant: 'x' },
      {},
      // The same text as a value, and the new name as a value of another sample.
      { 'http.route': 'http.route', note: 'http_route' },
      { http_route: 'wins', 'http.route': 'loses' },
      { 'http.route': 'loses', http_route: 'wins' },
      { 'http-route': 'first', 'http.route': 'second' },
    ];
    const gzipped = makeWindow(labels.length, (index) => labels[index]);
    const renamed = await renameLabels(gzipped);
    assert.deepEqual(labelsOf(renamed.gzipped), [
      { http_route: '/a', tenant: 'x' },
      {},
      { http_route: 'http.route', note: 'http_route' },
      { http_route: 'wins' },
      { http_route: 'wins' },
      { http_route: 'first' },
    ]);
    assert.equal(renamed.droppedLabels, 3);
    const others = (profile) => ({
      ...profile,
      samples: profile.samples.map(({ stack, count, nanos }) => ({ stack, count, nanos })),
      strings: undefined,
      bytes: undefined,
    });
    assert.deepEqual(others(decodePprof(renamed.gzipped)), others(decodePprof(gzipped)));
  });

  it('cause a rejection if the bytes are no profile', async () => {
    await assert.rejects(renameLabels(Buffer.from('nonsense')));
    const cut = gunzipSync(makeWindow(3)).subarray(0, -3);
    await assert.rejects(renameLabels(gzipSync(cut)));
  });
});
