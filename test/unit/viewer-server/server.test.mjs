/** Checks that the viewer's server answers its own page and nobody else, whatever is asked. */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { connect } from 'node:net';
import { ProfileRing } from '../../../lib/viewer-server/profile-ring.js';
import { readProfile } from '../../../lib/profile/reader.js';
import { startViewer } from '../../../lib/viewer-server/server.js';
import { fileSource, ringSource } from '../../../lib/viewer-server/source.js';
import { CPU_PROFILE } from '../../../lib/util/profile-types.js';
import { shopProfile, traceId } from '../../support/make-profile.mjs';

describe("the viewer's server", function () {
  const servers = [];

  async function start(source, options) {
    const { server, url } = await startViewer(source, options);
    servers.push(server);
    return url;
  }

  after(function () {
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
  });

  /** Unlike fetch(), sets any header. */
  function ask(url, headers = {}, method = 'GET') {
    return new Promise((resolve, reject) => {
      const sent = request(url, { headers, method, agent: false }, (response) => {
        let body = '';
        response.on('data', (chunk) => (body += chunk));
        response.on('end', () =>
          resolve({ status: response.statusCode, headers: response.headers, body }),
        );
      });
      sent.on('error', reject).end();
    });
  }

  let url;
  let port;

  before(async function () {
    url = await start(fileSource('shop', await readProfile(shopProfile())));
    port = new URL(url).port;
  });

  it('listens on the loopback interface, and lets the page load nothing from elsewhere', async function () {
    assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/$/);
    for (const [file, type] of [
      ['', /^text\/html/],
      ['viewer.js', /^text\/javascript/],
      ['viewer.css', /^text\/css/],
      ['icon.svg', /^image\/svg\+xml/],
      ['api/profile', /^application\/json/],
    ]) {
      const { status, headers, body } = await ask(url + file);
      assert.equal(status, 200, file);
      assert.match(headers['content-type'], type);
      assert.ok(body.length > 100);
      assert.equal(headers['x-content-type-options'], 'nosniff');
      const policy = headers['content-security-policy'];
      assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self'/);
      assert.match(policy, /frame-ancestors 'none'/);
      assert.doesNotMatch(policy, /unsafe|\*|http/);
    }
    const { body } = await ask(url);
    assert.doesNotMatch(body, /<script(?![^>]* src=)|<style|\son\w+=|style=|https?:/);
  });

  it('serves no other files and methods', async function () {
    for (const file of [
      'LICENSES.txt',
      '../index.js',
      '%2e%2e/index.js',
      'api/',
      'api/other',
      'x',
    ]) {
      assert.equal((await ask(url + file)).status, 404, file);
    }
    assert.equal((await ask(`${url}api/constructor`)).status, 404);
    for (const method of ['POST', 'PUT', 'OPTIONS', 'DELETE']) {
      assert.equal((await ask(url, {}, method)).status, 405, method);
    }
    const head = await ask(url, {}, 'HEAD');
    assert.deepEqual([head.status, head.body], [200, '']);
  });

  it('answers its own origin and Host only', async function () {
    const own = [
      { host: `127.0.0.1:${port}` },
      { host: `localhost:${port}` },
      { host: `LOCALHOST:${port}`, origin: `http://LOCALHOST:${port}` },
      { host: `[::1]:${port}` },
      { 'sec-fetch-site': 'none' },
      { origin: `http://127.0.0.1:${port}`, 'sec-fetch-site': 'same-origin' },
    ];
    const others = [
      { host: 'evil.example' },
      { host: `evil.example:${port}` },
      { host: `127.0.0.1.evil.example:${port}` },
      { host: `127.0.0.1:${Number(port) + 1}` },
      { host: '127.0.0.1' },
      { host: `192.168.0.1:${port}` },
      { origin: 'http://evil.example' },
      { origin: 'null' },
      { origin: `http://localhost:${port}` },
      { origin: `https://127.0.0.1:${port}` },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
    ];
    for (const headers of own) {
      assert.equal((await ask(`${url}api/profile`, headers)).status, 200, JSON.stringify(headers));
    }
    for (const headers of others) {
      for (const path of ['', 'api/profile']) {
        const { status, body } = await ask(url + path, headers);
        assert.equal(status, 403, JSON.stringify(headers));
        assert.doesNotMatch(body, /shop|nanoseconds/);
      }
    }
  });

  it('refuses requests without a Host', async function () {
    const socket = connect(port, '127.0.0.1').setEncoding('utf8');
    socket.end('GET /api/profile HTTP/1.0\r\n\r\n');
    let answer = '';
    for await (const chunk of socket) answer += chunk;
    assert.match(answer, /^HTTP\/1\.1 403 /);
  });

  it('answers on another interface, if configured, to numeric hosts but not to names', async function () {
    const open = await start(fileSource('shop', await readProfile(shopProfile())), {
      host: '0.0.0.0',
    });
    const { port: bound } = new URL(open);
    const at = `http://127.0.0.1:${bound}/`;
    assert.equal((await ask(at, { host: `192.168.0.1:${bound}` })).status, 200);
    assert.equal((await ask(at, { host: `[fd00::1]:${bound}` })).status, 200);
    assert.equal((await ask(at, { host: `evil.example:${bound}` })).status, 403);
  });

  it('refuses unknown queries', async function () {
    const answer = await ask(`${url}api/graph?a=nothing`);
    assert.deepEqual([answer.status, answer.body], [400, '"nothing" is no LABEL=VALUE\n']);
    const many = Array.from({ length: 40 }, (_, i) => `a=x${i}=1`).join('&');
    assert.equal((await ask(`${url}api/graph?${many}`)).status, 400);
    assert.equal((await ask(`${url}api/graph?zoom=__proto__.x&split=constructor`)).status, 200);
  });

  it('compares a trace with the others of its name by trace', async function () {
    const id = traceId(7);
    const query = `a=trace_id%3D${id}&compare=1&b=trace_id~${id}`;
    const { body } = await ask(`${url}api/top?${query}`);
    const { a, b, scale, rows } = JSON.parse(body);
    assert.deepEqual(
      [a, b],
      [
        { total: 980e6, traces: 1 },
        { total: 1520e6, traces: 19 },
      ],
    );
    assert.deepEqual(scale, { by: 'trace', a: 1, b: 19 });
    assert.deepEqual([rows[0].name, rows[0].delta], ['slowTaxTable', 900e6]);
    assert.deepEqual([rows[1].delta, rows.at(-1).delta], [0, 0]);
    const graph = JSON.parse((await ask(`${url}api/graph?${query}`)).body);
    assert.deepEqual([graph.root.a, graph.root.b], [980e6, 1520e6]);
  });

  it('sums traces by span name, of a selection and by a search', async function () {
    const answer = async (query) => JSON.parse((await ask(`${url}api/traces?${query}`)).body);
    const { total, count, rows } = await answer('search=CART');
    assert.deepEqual([total, count], [3140e6, 1]);
    assert.deepEqual(rows, [
      {
        ...{ spanName: 'GET /cart', total: 2500e6, traces: 20 },
        ...{ median: 80e6, p95: 80e6, most: 980e6, mostTraceId: traceId(7) },
      },
    ]);
    const others = await answer(`a=trace_id~${traceId(7)}`);
    assert.deepEqual([others.total, others.rows[0].traces], [1520e6, 19]);
    assert.equal((await ask(`${url}api/traces?a=nothing`)).status, 400);
  });

  it('shows the last windows of a running process', async function () {
    const ring = new ProfileRing();
    const live = await start(ringSource('live', CPU_PROFILE, ring));
    const total = async () => JSON.parse((await ask(`${live}api/profile`)).body).total;
    assert.equal(await total(), 0);
    ring.add(shopProfile(), Date.now());
    assert.equal(await total(), 3140e6);
    ring.add(shopProfile(), Date.now());
    assert.equal(await total(), 6280e6);
  });
});
