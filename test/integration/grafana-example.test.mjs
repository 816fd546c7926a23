/** The service of examples/grafana: each of its requests has a span and a profile that find each other. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT, runNode } from '../support/run-child.mjs';
import { useStandIns } from '../support/stand-ins.mjs';

const EXAMPLE = path.join(ROOT, 'examples', 'grafana');
const ROUTES = ['/books/7', '/search?q=cloud', '/recommendations/7', '/report'];

describe('examples/grafana', function () {
  this.timeout(90_000);

  const standIns = useStandIns();

  /** Asks every route of the service once, and then ends it. */
  async function useShop(child, port) {
    const shop = `http://127.0.0.1:${port}`;
    const close = { connection: 'close' };
    const checkout = {
      method: 'POST',
      headers: { ...close, 'content-type': 'application/json' },
      body: JSON.stringify({ user: 'ada', book: 7 }),
    };
    for (const [route, options] of [
      ...ROUTES.map((route) => [route, { headers: close }]),
      ['/checkout', checkout],
    ]) {
      const response = await fetch(shop + route, options);
      await response.arrayBuffer();
      assert.equal(response.status, 200, route);
    }
    child.kill('SIGTERM');
  }

  it('gives the span of a request its CPU time, and its samples the id and name of the span', async () => {
    let used;
    const onSpawn = (child) =>
      child.stdout.once('data', (text) => {
        used = useShop(child, /port (\d+)/.exec(text)[1]);
        used.catch(() => child.kill('SIGKILL'));
      });
    const ended = await runNode(
      ['--require', `${EXAMPLE}/instrumentation.cjs`, `${EXAMPLE}/bookshop.cjs`],
      {
        env: { ...standIns.environment(), OTEL_SERVICE_NAME: 'bookshop', PORT: '0' },
        onSpawn,
        timeoutMs: 80_000,
      },
    );
    await used;
    assert.equal(ended.code, 0, ended.stderr);
    assert.equal(ended.stderr, '');

    const { pyroscope, collector } = standIns;
    const roots = collector.spans.filter(({ parentSpanId }) => parentSpanId === undefined);
    assert.deepEqual(roots.map(({ name }) => name).sort(), [
      ...['GET /books/:id', 'GET /recommendations/:id', 'GET /report', 'GET /search'],
      'POST /checkout',
    ]);
    assert.ok(
      roots.every(({ attributes, spanId }) => attributes['pyroscope.profile.id'] === spanId),
    );
    assert.ok(pyroscope.uploads.every(({ series }) => series.service_name === 'bookshop'));

    const heavy = roots.find(({ name }) => name === 'GET /recommendations/:id');
    const { spanId, attributes } = heavy;
    assert.ok(attributes['pyroscope.cpu_time_ms'] > 0, 'its CPU is an attribute');
    const samples = pyroscope.uploads.flatMap(({ profile }) => profile.samples);
    const names = samples
      .map(({ labels }) => Object.fromEntries(labels))
      .filter(({ span_id: id }) => id === spanId)
      .map(({ span_name: name }) => name);
    assert.ok(names.length > 0);
    // A window that ended during the request has the name of that moment.
    assert.ok(
      names.every((name) => ['GET', 'GET /recommendations/:id'].includes(name)),
      `${names}`,
    );
  });

  it('installs the versions that the project tests', function () {
    const { devDependencies } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
    const dockerfile = readFileSync(path.join(EXAMPLE, 'Dockerfile'), 'utf8');
    const installed = [...dockerfile.matchAll(/'(\S+)@([\^~]\S+)'/g)];
    assert.ok(installed.length > 0);
    for (const [, name, version] of installed) assert.equal(version, devDependencies[name], name);
  });
});
