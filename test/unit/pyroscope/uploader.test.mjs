/** Everything that can go wrong between agent and server: what is lost is counted and said, nothing else is lost. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { gunzipSync, gzipSync } from 'node:zlib';
import { Profile } from 'pprof-format';
import { logDiag } from '../../support/diag-log.mjs';
import { makeWindow } from '../../support/make-window.mjs';
import { PyroscopeServer } from '../../support/pyroscope-server.mjs';

const require = createRequire(import.meta.url);
const { DEFAULT_PROFILE_LIMITS, fitProfile } = require('../../../lib/pyroscope/server-limits.js');
const { Uploader } = require('../../../lib/pyroscope/uploader.js');
const { CPU_PROFILE } = require('../../../lib/util/profile-types.js');

const limits = { ...DEFAULT_PROFILE_LIMITS, labels: 22 };
const series = () => ({ serviceName: 'shop', serviceNamespace: 'eu', tags: { zone: 'a' } });

/** Answers with these, one after the other, and then as the server does. */
const answers = (...list) => {
  return (req, res) => {
    const answer = list.shift();
    if (answer === undefined) return false;
    answer(res);
    return true;
  };
};
const status = (code, body = '', headers = {}) => {
  return (res) => res.writeHead(code, headers).end(body);
};

describe('uploads', () => {
  /** @type {PyroscopeServer} */
  let server;
  let log;
  const uploaders = [];
  let hurrying;

  const start = (config = {}) => {
    const defaults = {
      serverAddress: server.url,
      headers: {},
      protocol: 'ingest',
      timeoutMs: 10_000,
    };
    const uploader = new Uploader({ ...defaults, ...config }, series);
    uploaders.push(uploader);
    return uploader;
  };
  const addProfile = async (uploader, samples = 3) => {
    uploader.add(CPU_PROFILE, (await fitProfile(makeWindow(samples), limits)).parts);
  };
  /** Ends the uploader's back-offs every `everyMs`, until the test is over. */
  const keepHurrying = (uploader, everyMs) => {
    hurrying = setInterval(() => uploader.hurry(), everyMs);
  };
  const counts = ({ uploads, droppedProfiles, queued }) => ({ uploads, droppedProfiles, queued });

  beforeEach(async () => {
    server = await PyroscopeServer.start();
    log = logDiag();
  });

  afterEach(async () => {
    clearInterval(hurrying);
    for (const uploader of uploaders.splice(0)) uploader.stop('the test is over');
    log.close();
    await server.close();
    assert.deepEqual(server.complaints, []);
  });

  for (const protocol of ['ingest', 'connect', 'otlp']) {
    it(`carry name, labels, authorization and tenant, by ${protocol}`, async () => {
      const headers = { authorization: 'Bearer t0ken', 'x-scope-orgid': 'team' };
      const uploader = start({ protocol, headers });
      await addProfile(uploader, 50);
      await uploader.drain();
      const [upload] = server.uploads;
      assert.equal(upload.protocol, protocol);
      assert.deepEqual(upload.series, {
        service_name: 'shop',
        service_namespace: 'eu',
        zone: 'a',
      });
      assert.equal(upload.headers.authorization, 'Bearer t0ken');
      assert.equal(upload.headers['x-scope-orgid'], 'team');
      assert.equal(upload.profile.samples.length, 50);
      assert.deepEqual(counts(uploader), { uploads: 1, droppedProfiles: 0, queued: 0 });
    });
  }

  it('by OTLP link samples to their spans, and keep one id alone as a label', async () => {
    const uploader = start({ protocol: 'otlp' });
    const ids = { trace_id: 'ab'.repeat(16), span_id: 'cd'.repeat(8) };
    // Ids of zeros are no span's.
    const none = { trace_id: '0'.repeat(32), span_id: '0'.repeat(16) };
    const labels = [ids, { ...ids, route: '/a' }, { span_id: ids.span_id }, {}, none];
    const gzipped = makeWindow(5, (index) => labels[index]);
    uploader.add(CPU_PROFILE, (await fitProfile(gzipped, limits)).parts);
    await uploader.drain();
    const { profile } = server.uploads[0];
    assert.equal(profile.linked, 2);
    assert.deepEqual(
      profile.samples.map((sample) => Object.fromEntries(sample.labels)),
      labels,
    );
    assert.deepEqual(
      profile.samples.map(({ stack, count }) => [stack.map(({ name }) => name).join(), count]),
      [1, 2, 3, 4, 5].map((id) => [`work_${id},main`, id]),
    );
  });

  it('by OTLP have every function once, even if pprof has it twice', async () => {
    const uploader = start({ protocol: 'otlp' });
    const profile = Profile.decode(gunzipSync(makeWindow(2)));
    const [first, second] = profile.function;
    Object.assign(second, { name: first.name, systemName: first.systemName });
    profile.location[1].line[0].line = profile.location[0].line[0].line;
    uploader.add(CPU_PROFILE, (await fitProfile(gzipSync(profile.encode()), limits)).parts);
    await uploader.drain();
    const leaves = server.uploads[0].profile.samples.map(({ stack }) => stack[0].name);
    assert.deepEqual(leaves, ['work_1', 'work_1']);
  });

  it('are tried again after 408, 429, 5xx, rate limits and broken connections', async () => {
    const uploader = start();
    server.respond = answers(
      status(408),
      status(429, '', { 'retry-after': '0' }),
      status(500),
      status(503),
      status(422, 'push rate limit exceeded'),
      (res) => res.destroy(),
      (res) => res.socket.end('HTTP/1.1 200 OK\r\nContent-Le'),
    );
    await addProfile(uploader);
    keepHurrying(uploader, 10);
    await uploader.drain();
    assert.equal(uploader.retries, 7);
    assert.deepEqual(counts(uploader), { uploads: 1, droppedProfiles: 0, queued: 0 });
  });

  for (const protocol of ['connect', 'otlp']) {
    it(`have an id that is the same where the answer to the first try was lost, by ${protocol}`, async () => {
      const uploader = start({ protocol });
      server.respond = (req, res, number) => {
        if (number === 1) res.end = () => res.destroy();
        return false;
      };
      await addProfile(uploader);
      keepHurrying(uploader, 10);
      await uploader.drain();
      await addProfile(uploader);
      await uploader.drain();
      const [first, again, other] = server.uploads.map(({ id }) => id);
      assert.match(first, /^[0-9a-f]{32}$/);
      assert.equal(again, first);
      assert.notEqual(other, first);
      assert.equal(server.uploads.length, 3);
    });
  }

  it('wait for Retry-After, even after hurry()', async () => {
    const uploader = start();
    const times = [];
    const answer = answers(status(429, '', { 'retry-after': '1' }));
    server.respond = (req, res) => {
      times.push(performance.now());
      return answer(req, res);
    };
    await addProfile(uploader);
    keepHurrying(uploader, 10);
    await uploader.drain();
    assert.equal(times.length, 2);
    assert.ok(times[1] - times[0] > 950, `${times[1] - times[0]} ms`);
  });

  for (const protocol of ['ingest', 'connect', 'otlp']) {
    it(`are not lost while the server restarts, and are tried with each new window, by ${protocol}`, async () => {
      const uploader = start({ protocol });
      const requestAfterAdding = async (number) => {
        await addProfile(uploader, number);
        await server.until(({ requests }) => requests >= number);
      };
      server.respond = (req, res) => (res.destroy(), true);
      for (let number = 1; number <= 6; number++) await requestAfterAdding(number);
      server.respond = undefined;
      server.unavailable = true;
      // Some of the back-offs alone would last longer than all of this.
      for (let number = 7; number <= 30; number++) await requestAfterAdding(number);
      server.unavailable = false;
      await addProfile(uploader, 31);
      await server.until(({ uploads }) => uploads.length === 31);
      const sizes = server.uploads.map(({ profile }) => profile.samples.length);
      assert.deepEqual(
        sizes.sort((a, b) => a - b),
        Array.from({ length: 31 }, (_, index) => index + 1),
      );
      await uploader.drain();
      assert.deepEqual(counts(uploader), { uploads: 31, droppedProfiles: 0, queued: 0 });
    });
  }

  it('are dropped if the server accepts all others, which do not wait for them', async () => {
    const uploader = start();
    const isBad = ({ url }) => url.includes('name=shop') && url.includes(`from=${bad}&`);
    server.respond = (req, res) => isBad(req) && (status(500, 'down')(res), true);
    // Older than the others, of which several may begin in the same millisecond.
    const { parts } = await fitProfile(makeWindow(3, undefined, 60_000), limits);
    const bad = parts[0].summary.startNanos;
    uploader.add(CPU_PROFILE, parts);
    keepHurrying(uploader, 5);
    let others = 0;
    for (; uploader.droppedProfiles === 0 && others < 50; others++) {
      await addProfile(uploader);
      await server.until(({ uploads }) => uploads.length > others);
    }
    await uploader.drain();
    // One failed try of its own between two others, at most.
    assert.ok(others >= 10, `${others} others`);
    assert.deepEqual(counts(uploader), { uploads: others, droppedProfiles: 1, queued: 0 });
    assert.ok(uploader.droppedBytes > 0);
    assert.match(uploader.lastError, /tries of one profile alone failed: .* HTTP 500: down/);
  });

  it('are dropped if the server refuses them, with one warning per cause', async () => {
    const uploader = start();
    const codes = [400, 401, 422, 401, 308];
    const location = { location: 'http://elsewhere/' };
    server.respond = answers(...codes.map((code) => status(code, 'no', location)));
    for (let i = 0; i < 6; i++) await addProfile(uploader);
    await uploader.drain();
    assert.deepEqual(counts(uploader), { uploads: 1, droppedProfiles: 5, queued: 0 });
    for (const code of [400, 401, 422]) {
      const said = log.messages.filter((message) => message.includes(`HTTP ${code}: no`));
      // Once in a process: other tests may have had the same cause.
      assert.ok(said.length <= 1, `${code} was said ${said.length} times`);
    }
    assert.ok(log.messages.some((message) => message.includes('HTTP 401')));
    assert.match(uploader.lastError, /redirects to http:\/\/elsewhere/);
  });

  it('are halved if the server finds them too large, and dropped if that does not help', async () => {
    const uploader = start();
    server.respond = answers(status(413), status(413));
    await addProfile(uploader, 100);
    await uploader.drain();
    assert.deepEqual(counts(uploader), { uploads: 3, droppedProfiles: 0, queued: 0 });
    const samples = server.uploads.flatMap(({ profile }) => profile.samples);
    assert.equal(new Set(samples.map(({ stack }) => stack[0].name)).size, 100);

    server.respond = answers(...Array.from({ length: 15 }, () => status(413)));
    await addProfile(uploader, 100);
    await uploader.drain();
    assert.deepEqual(counts(uploader), { uploads: 3, droppedProfiles: 8, queued: 0 });
    server.respond = undefined;
  });

  it('say in words that the server speaks no TLS', async () => {
    const uploader = start({ serverAddress: server.url.replace('http:', 'https:') });
    await addProfile(uploader);
    while (uploader.lastError === undefined)
      await new Promise((resolve) => setTimeout(resolve, 20));
    assert.match(uploader.lastError, /speaks no TLS: serverAddress must begin with http:/);
    uploader.stop('too late');
    assert.match(uploader.lastError, /^too late; the last failure before: .* no TLS/);
  });

  it('time out without a response, and with a slow reader', async () => {
    const uploader = start({ timeoutMs: 300 });
    const silent = createServer((socket) => socket.on('error', () => {}).pause()).listen(
      0,
      '127.0.0.1',
    );
    await once(silent, 'listening');
    const slow = start({
      timeoutMs: 300,
      serverAddress: `http://127.0.0.1:${silent.address().port}`,
    });
    server.respond = answers(() => {});
    await addProfile(uploader);
    await addProfile(slow, 15_000);
    await uploader.drain();
    assert.deepEqual(counts(uploader), { uploads: 1, droppedProfiles: 0, queued: 0 });
    assert.match(uploader.lastError, /no answer within 300 ms/);
    while (slow.retries === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.match(slow.lastError, /no answer within 300 ms/);
    slow.stop('the end');
    assert.deepEqual(counts(slow), { uploads: 0, droppedProfiles: 1, queued: 0 });
    silent.close();
  });

  it('count as delivered if only the end of the response is missing', async () => {
    const uploader = start();
    server.respond = answers((res) => {
      res.writeHead(200, { 'content-length': '100' }).write('half');
      res.socket.end();
    });
    await addProfile(uploader);
    await uploader.drain();
    assert.deepEqual(counts(uploader), { uploads: 1, droppedProfiles: 0, queued: 0 });
    assert.equal(uploader.retries, 0);
  });

  it('wait for a server that cannot be reached', async function () {
    this.timeout(60_000);
    const closed = createServer().listen(0, '127.0.0.1');
    await once(closed, 'listening');
    const { port } = closed.address();
    closed.close();
    await once(closed, 'close');
    const refused = start({ serverAddress: `http://127.0.0.1:${port}` });
    const nowhere = start({ serverAddress: 'http://pyroscope.invalid' });
    for (let i = 0; i < 25; i++) await addProfile(refused);
    await addProfile(nowhere);
    while (refused.lastError === undefined) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual(counts(refused), { uploads: 0, droppedProfiles: 0, queued: 25 });
    assert.match(refused.lastError, /ECONNREFUSED/);
    while (nowhere.retries === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    assert.deepEqual(counts(nowhere), { uploads: 0, droppedProfiles: 0, queued: 1 });
    // The last where there is no answer from a name server either.
    assert.match(nowhere.lastError, /ENOTFOUND|EAI_AGAIN|no answer within/);
    nowhere.stop('the end');
    assert.deepEqual(counts(nowhere), { uploads: 0, droppedProfiles: 1, queued: 0 });
    refused.stop('the end');
    assert.deepEqual(counts(refused), { uploads: 0, droppedProfiles: 25, queued: 0 });
  });

  it('deliver profiles that have waited for almost an hour', async function () {
    this.timeout(60_000);
    const uploader = start();
    server.respond = (req, res) => (res.destroy(), true);
    for (let i = 0; i < 236; i++) {
      // The clock is not waited for: the first of these windows is as old as one that has waited.
      const window = makeWindow(1, undefined, 59 * 60_000 - i * 15_000);
      uploader.add(CPU_PROFILE, (await fitProfile(window, limits)).parts);
    }
    await server.until(({ requests }) => requests >= 2);
    server.respond = undefined;
    await uploader.drain();
    assert.deepEqual(counts(uploader), { uploads: 236, droppedProfiles: 0, queued: 0 });
    assert.equal(new Set(server.uploads.map(({ profile }) => profile.timeNanos)).size, 236);
  });

  it('are dropped if they are too old for the server', async () => {
    const uploader = start();
    const { parts } = await fitProfile(makeWindow(3), limits);
    const startNanos = BigInt(Date.now() - 61 * 60_000) * 1_000_000n;
    uploader.add(
      CPU_PROFILE,
      parts.map((part) => ({ ...part, summary: { ...part.summary, startNanos } })),
    );
    await uploader.drain();
    assert.deepEqual(counts(uploader), { uploads: 0, droppedProfiles: 1, queued: 0 });
    assert.equal(server.requests, 0);
  });
});
