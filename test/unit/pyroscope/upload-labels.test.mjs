/** Labels of uploaded profiles: their names, and the limit of their values. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { gunzipSync, gzipSync } from 'node:zlib';
import { logDiag } from '../../support/diag-log.mjs';
import { makeWindow } from '../../support/make-window.mjs';
import { decodePprof } from '../../support/pyroscope-rules.mjs';
import { PyroscopeServer } from '../../support/pyroscope-server.mjs';

const require = createRequire(import.meta.url);
const { LabelValueLimit, OTHER_VALUE } = require('../../../lib/pyroscope/label-value-limit.js');
const { DEFAULT_PROFILE_LIMITS, fitProfile } = require('../../../lib/pyroscope/server-limits.js');
const { Uploader } = require('../../../lib/pyroscope/uploader.js');
const { CPU_PROFILE } = require('../../../lib/util/profile-types.js');
const { fitLabels } = require('../../../lib/pyroscope/upload-labels.js');

const labelsOf = (gzipped) =>
  decodePprof(gzipped).samples.map(({ labels }) => Object.fromEntries(labels));
const rules = ({ limit = 0, rename = true } = {}) => ({
  rename,
  values: new LabelValueLimit(limit),
});
const renameLabels = (gzipped) => fitLabels(gzipped, rules());

describe('names of labels in a profile', () => {
  it('leave it unchanged if all are valid', async () => {
    const gzipped = makeWindow(100, (index) => ({ route: `/a.b/${index}` }));
    const renamed = await renameLabels(gzipped);
    assert.equal(renamed.gzipped, gzipped);
    assert.equal(renamed.droppedLabels, 0);
  });

  it('are all that is changed', async () => {
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

describe('values of labels in a profile', () => {
  it('become "(other)" beyond the limit at the server, whose ids and CPU stay', async () => {
    const SPANS = 20_000;
    const WINDOW = 5_000;
    const spanId = (number) => number.toString(16).padStart(16, '0');
    const limited = rules({ limit: 500 });
    const server = await PyroscopeServer.start();
    const config = {
      serverAddress: server.url,
      headers: {},
      protocol: 'ingest',
      timeoutMs: 10_000,
    };
    const uploader = new Uploader(config, () => ({
      serviceName: 'shop',
      serviceNamespace: undefined,
      tags: {},
    }));
    let otherLabelValues = 0;
    try {
      for (let begin = 0; begin < SPANS; begin += WINDOW) {
        const window = makeWindow(WINDOW, (index) => ({
          span_name: `GET /user/${begin + index}`,
          span_id: spanId(begin + index),
          trace_id: spanId(begin + index).repeat(2),
        }));
        const fitted = await fitLabels(window, limited);
        otherLabelValues += fitted.otherLabelValues;
        const { parts } = await fitProfile(fitted.gzipped, {
          ...DEFAULT_PROFILE_LIMITS,
          labels: 22,
        });
        uploader.add(CPU_PROFILE, parts);
      }
      await uploader.drain(AbortSignal.timeout(20_000));
    } finally {
      uploader.stop('the test ends');
      await server.close();
    }
    assert.deepEqual(server.complaints, []);
    const found = new Map();
    let nanos = 0;
    for (const sample of server.uploads.flatMap(({ profile }) => profile.samples)) {
      const labels = Object.fromEntries(sample.labels);
      assert.equal(labels.trace_id, labels.span_id.repeat(2));
      found.set(labels.span_id, labels.span_name);
      nanos += sample.nanos;
    }
    assert.equal(found.size, SPANS);
    assert.equal(new Set(found.values()).size, 501);
    assert.equal(found.get(spanId(499)), 'GET /user/499');
    assert.equal(found.get(spanId(500)), OTHER_VALUE);
    assert.equal(otherLabelValues, SPANS - 500);
    assert.equal(nanos, ((SPANS / WINDOW) * 10e6 * WINDOW * (WINDOW + 1)) / 2);
  });

  it('have a limit for each name, counted under the name that is uploaded', async () => {
    const labels = [
      { 'a.b': '1', c: '1' },
      { 'a.b': '2', c: '1' },
      { a_b: '2', c: '2' },
      { a_b: '3' },
      { 'a.b': '1', c: '3', thread_name: '3' },
    ];
    const window = makeWindow(labels.length, (index) => labels[index]);
    const fitted = await fitLabels(window, rules({ limit: 2 }));
    assert.deepEqual(labelsOf(fitted.gzipped), [
      { a_b: '1', c: '1' },
      { a_b: '2', c: '1' },
      { a_b: '2', c: '2' },
      { a_b: OTHER_VALUE },
      { a_b: '1', c: OTHER_VALUE, thread_name: '3' },
    ]);
    assert.equal(fitted.otherLabelValues, 2);
  });

  it('have a limit with OpenTelemetry’s names, too', async () => {
    const window = makeWindow(3, (index) => ({ 'http.route': `/${index}` }));
    const fitted = await fitLabels(window, rules({ limit: 1, rename: false }));
    assert.deepEqual(
      labelsOf(fitted.gzipped).map((labels) => labels['http.route']),
      ['/0', OTHER_VALUE, OTHER_VALUE],
    );
  });

  it('are unlimited with a limit of 0', async () => {
    const window = makeWindow(600, (index) => ({ name: String(index) }));
    assert.equal((await fitLabels(window, rules())).gzipped, window);
  });
});

describe('LabelValueLimit', () => {
  let log;

  beforeEach(() => (log = logDiag()));
  afterEach(() => log.close());

  it('warns once of each name, with three of its values', () => {
    const limit = new LabelValueLimit(3);
    for (let i = 0; i < 10; i++) limit.admits('url', `GET /user/${i}`);
    const [message, ...others] = log.messages;
    assert.match(message, /"url" had more than 3 values in an hour/);
    assert.match(message, /"GET \/user\/1", "GET \/user\/2", "GET \/user\/3", …/);
    assert.match(message, /maxLabelValues/);
    assert.deepEqual(others, []);
  });

  it('admits new values an hour later', () => {
    let now = 0;
    const limit = new LabelValueLimit(1, () => now);
    assert.deepEqual([limit.admits('a', '1'), limit.admits('a', '2')], [true, false]);
    now = 3_599_999;
    assert.deepEqual([limit.admits('a', '1'), limit.admits('a', '2')], [true, false]);
    now = 3_600_000;
    assert.deepEqual([limit.admits('a', '2'), limit.admits('a', '1')], [true, false]);
  });

  it('has memory for a bounded number of names, and admits no value of further ones, with a warning', () => {
    const limit = new LabelValueLimit(5);
    for (let i = 0; i < 256; i++) assert.ok(limit.admits(`name ${i}`, 'value'));
    assert.deepEqual(log.messages, []);
    assert.equal(limit.admits('one more', 'value'), false);
    assert.equal(limit.admits('two more', 'value'), false);
    assert.equal(limit.admits('name 0', 'another'), true);
    assert.equal(log.messages.length, 1);
    assert.match(log.messages[0], /more than 256 label names .* "one more", .*"\(other\)"/);
  });
});
