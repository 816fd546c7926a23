/** Services without a line about profiles: spans at a collector and profiles at Pyroscope find each other. */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { messageOf, runNode } from '../support/run-child.mjs';
import { useStandIns } from '../support/stand-ins.mjs';

const file = (path) => fileURLToPath(new URL(path, import.meta.url));
const SHOP = file('../../examples/zero-code/service.cjs');
const NODE_SDK = file('./fixtures/node-sdk-service.mjs');
const OURS = 'otelpyroscope/register';
const AUTO = '@opentelemetry/auto-instrumentations-node/register';
const REQUESTS = 4;
const THIRTY_SECONDS = 30_000_000_000n;

const ways = [
  [
    '--require, before the instrumentations',
    ['--require', OURS, '--require', AUTO, SHOP],
    'ingest',
  ],
  [
    '--require, after the instrumentations',
    ['--require', AUTO, '--require', OURS, SHOP],
    'connect',
  ],
  ['--import, and NodeSDK in ESM', ['--import', OURS, NODE_SDK], 'otlp'],
];

describe('registration without code', function () {
  this.timeout(90_000);

  const standIns = useStandIns();

  const environment = (more) => ({
    ...standIns.environment(),
    OTEL_NODE_ENABLED_INSTRUMENTATIONS: 'http,express',
    OTEL_RESOURCE_ATTRIBUTES: 'service.name=demo shop,service.namespace=eu',
    PORT: '0',
    ...more,
  });

  /** Runs the service, asks it for work, and lets it end by itself. */
  async function serve(command, env) {
    // An open connection would keep the service from its natural end.
    const close = { headers: { connection: 'close' } };
    const onSpawn = (child) =>
      child.once('message', async ({ port }) => {
        for (let i = 0; i < REQUESTS; i++) {
          await (await fetch(`http://127.0.0.1:${port}/recommendations?depth=50`, close)).text();
        }
        child.kill('SIGTERM');
      });
    const ended = await runNode(command, { env, onSpawn, timeoutMs: 80_000 });
    assert.equal(ended.code, 0, ended.stderr);
    assert.doesNotMatch(ended.stderr, /otelpyroscope/i);
  }

  for (const [title, command, protocol] of ways) {
    it(`joins spans and profiles, by ${title}`, async () => {
      await serve(command, environment({ PYROSCOPE_PROTOCOL: protocol }));

      const profiles = standIns.pyroscope.uploads;
      for (const { series, protocol: by } of profiles) {
        const { service_name, service_namespace, otel_scope_name } = series;
        assert.deepEqual(
          [service_name, service_namespace, otel_scope_name],
          ['demo shop', 'eu', 'otelpyroscope'],
        );
        assert.equal(by, protocol);
      }
      const roots = standIns.collector.spans.filter(
        ({ parentSpanId }) => parentSpanId === undefined,
      );
      // Each uses more CPU than many intervals. There are no others: uploads make no spans.
      assert.equal(roots.length, REQUESTS, roots.map(({ name }) => name).join());
      for (const { spanId, traceId, start, end, attributes, resource } of roots) {
        assert.equal(resource['service.name'], 'demo shop');
        assert.equal(attributes['pyroscope.profile.id'], spanId);
        const found = profiles.filter(({ profile }) => {
          const { timeNanos } = profile;
          const near = timeNanos > start - THIRTY_SECONDS && timeNanos < end + THIRTY_SECONDS;
          return near && profile.samples.some((sample) => hasLabels(sample, traceId, spanId));
        });
        assert.ok(found.length > 0, `span ${spanId} is in no profile`);
      }
      const ids = new Set(roots.map(({ spanId }) => spanId));
      const used = profiles
        .flatMap(({ profile }) => profile.samples)
        .flatMap(({ labels }) => labels);
      for (const [name, value] of used) if (name === 'span_id') assert.ok(ids.has(value), value);
    });
  }

  it('sends profiles to the endpoint in the variables of OTLP exporters', async () => {
    const { pyroscope, collector } = standIns;
    const endpoint = `${pyroscope.url}/v1development/profiles`;
    const variables = {
      PYROSCOPE_SERVER_ADDRESS: '',
      PYROSCOPE_PROTOCOL: 'otlp',
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${collector.url}/v1/traces`,
      OTEL_EXPORTER_OTLP_HEADERS: 'api-key=a%20key',
    };
    const command = ['--require', OURS, '--require', AUTO, SHOP];
    await serve(command, environment({ ...variables, OTEL_EXPORTER_OTLP_ENDPOINT: pyroscope.url }));
    const uploads = pyroscope.uploads.splice(0);
    assert.ok(uploads.length > 0);
    for (const { protocol, headers } of uploads) {
      assert.deepEqual([protocol, headers['api-key']], ['otlp', 'a key']);
    }

    const exact = { OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT: `${endpoint}?as=is` };
    await serve(command, environment({ ...variables, ...exact }));
    assert.ok(pyroscope.uploads.length > 0);
    for (const { query } of pyroscope.uploads) assert.equal(query.get('as'), 'is');
  });

  for (const way of ['--processor', '--register']) {
    it(`labels spans of registerOTel of Next.js, by ${way.slice(2)}`, async () => {
      const flags = way === '--register' ? ['--require', OURS] : [];
      const env = { PYROSCOPE_SERVER_ADDRESS: '' };
      const running = runNode([...flags, file('./fixtures/vercel-otel.mjs'), way], { env });
      const { labels, id, attributes } = await messageOf(running);
      assert.equal(labels.span_id, id);
      assert.equal(labels.span_name, 'render');
      assert.equal(attributes['pyroscope.profile.id'], id);
    });
  }

  it('gives workers labels, and the process one agent', async () => {
    const command = ['--require', OURS, file('./fixtures/registered-worker.cjs')];
    const env = {
      PYROSCOPE_SERVER_ADDRESS: standIns.pyroscope.url,
      PYROSCOPE_APPLICATION_NAME: 'app',
    };
    const ended = await runNode(command, { env });
    assert.equal(ended.code, 0, ended.stderr);
    const windows = standIns.pyroscope.uploads.map(({ profile }) => profile);
    const named = windows.flatMap(({ samples }) =>
      samples.map(({ labels, nanos }) => ({ ...Object.fromEntries(labels), nanos })),
    );
    const nanosOf = (name) =>
      named.reduce((sum, each) => sum + (each.span_name === name ? each.nanos : 0), 0);
    assert.ok(nanosOf('thread 0') > 100e6, `${nanosOf('thread 0')} ns`);
    assert.ok(nanosOf('thread 1') > 100e6, `${nanosOf('thread 1')} ns`);
    const worker = named.filter(({ span_name }) => span_name === 'thread 1');
    assert.ok(worker.every(({ thread_name }) => thread_name !== undefined));
    // A second agent would upload all of it once more.
    assert.ok(nanosOf('thread 1') < 450e6, `${nanosOf('thread 1')} ns`);
    const starts = windows.map(({ timeNanos }) => timeNanos);
    assert.equal(new Set(starts).size, starts.length);
  });

  it('names wrong values of the environment, and the service runs', async () => {
    const env = {
      PYROSCOPE_SERVER_ADDRESS: standIns.pyroscope.url,
      PYROSCOPE_TIMEOUT_MS: 'long',
      PYROSCOPE_OTEL_SPAN_ID_SCOPE: 'every',
      PYROSCOPE_PROFILING_ENABLED: 'false',
    };
    const script = ['--input-type=commonjs', '-e', 'console.log("ran")'];
    const off = await runNode(['--require', OURS, ...script], { env });
    assert.deepEqual([off.code, off.stdout.trim()], [0, 'ran'], off.stderr);
    const on = await runNode(['--import', OURS, ...script], {
      env: { ...env, PYROSCOPE_PROFILING_ENABLED: 'true' },
    });
    assert.deepEqual([on.code, on.stdout.trim()], [0, 'ran'], on.stderr);
    assert.match(on.stderr, /PYROSCOPE_OTEL_SPAN_ID_SCOPE: must be none, root or all/);
    assert.match(on.stderr, /PYROSCOPE_TIMEOUT_MS: /);
  });
});

function hasLabels({ labels }, traceId, spanId) {
  const { trace_id, span_id } = Object.fromEntries(labels);
  return trace_id === traceId && span_id === spanId;
}
