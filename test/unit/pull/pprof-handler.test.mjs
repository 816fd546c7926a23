/** Profiles on request, as Alloy and people ask for them, from node:http, Express and a server of our own. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import express from 'express';
import { fastify } from 'fastify';
import { CpuProfiler, pprofHandler, servePprof, startPyroscope } from 'otelpyroscope';
import { createBurners, cpuMicros } from '../../support/burners.mjs';
import { logDiag } from '../../support/diag-log.mjs';
import { readProfile } from '../../support/read-profile.mjs';
import { complaintsAbout, decodePprof } from '../../support/pyroscope-rules.mjs';
import { PyroscopeServer } from '../../support/pyroscope-server.mjs';

const burners = createBurners(['work']);
const PATH = '/debug/pprof/profile';
/** Length of a scrape. `npm run stress` takes Alloy's 14 s, with a scrape every 15 s. */
const SCRAPE_SECONDS = Number(process.env.STRESS_SCRAPE_SECONDS ?? 1);
const SCRAPE_INTERVAL_MS = (SCRAPE_SECONDS + 1) * 1_000;
/** Scrapes of each scraper. */
const ROUNDS = SCRAPE_SECONDS > 1 ? 4 : 2;

/** Requests a profile as Alloy's pyroscope.scrape does. */
async function scrape(url) {
  const response = await fetch(url);
  const body = Buffer.from(await response.arrayBuffer());
  assert.equal(response.status, 200, String(body));
  assert.equal(response.headers.get('content-type'), 'application/octet-stream');
  assert.equal(Number(response.headers.get('content-length')), body.length);
  const profile = decodePprof(body);
  assert.deepEqual(complaintsAbout(profile, { service_name: 'target' }), []);
  return profile;
}

const work = ({ samples }) =>
  samples.filter(({ stack }) => stack.some(({ name }) => name === 'burn_work'));
const seconds = ({ durationNanos }) => Number(durationNanos) / 1e9;

describe('profiles on request', function () {
  this.timeout(60_000);

  let server;
  let url;
  let load;

  /** The process's CPU at times, as [milliseconds since 1970, microseconds]. */
  const readings = [];
  const read = () => readings.push([Date.now(), cpuMicros()]);

  /** At least and at most so many nanoseconds of CPU were used in the window of the profile. */
  const cpuWithin = ({ timeNanos, durationNanos }) => {
    const begin = Number(timeNanos) / 1e6;
    const end = begin + Number(durationNanos) / 1e6;
    const last = (before) => readings.findLast(([at]) => at <= before)[1];
    const first = (after) => readings.find(([at]) => at >= after)[1];
    return [(last(end) - first(begin)) * 1e3, (first(end) - last(begin)) * 1e3];
  };

  const serve = async (listener) => {
    server = createServer(listener).listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${server.address().port}${PATH}`;
  };

  before(() => {
    read();
    load = setInterval(() => {
      read();
      const until = cpuMicros() + 20_000;
      while (cpuMicros() < until) burners.get('work')(500);
      read();
    }, 50);
  });

  after(() => clearInterval(load));

  afterEach(async () => {
    if (server === undefined) return;
    server.close();
    server.closeAllConnections();
    await once(server, 'close');
    server = undefined;
  });

  it('cover the requested seconds', async () => {
    server = await servePprof({ intervalMicros: 5_000 });
    const { address, port } = server.address();
    assert.equal(address, '127.0.0.1');
    const profile = await scrape(`http://127.0.0.1:${port}${PATH}?seconds=1`);
    assert.ok(seconds(profile) >= 0.99, `${seconds(profile)} s`);
    assert.equal(profile.period, 5_000_000);
    assert.ok(work(profile).length > 0);
    const elsewhere = await fetch(`http://127.0.0.1:${port}/`);
    assert.equal(elsewhere.status, 404);
    assert.match(await elsewhere.text(), /\/debug\/pprof\/profile/);
  });

  it('are served by Express', async () => {
    const app = express();
    app.get(PATH, pprofHandler());
    await serve(app);
    assert.ok(work(await scrape(`${url}?seconds=1`)).length > 0);
  });

  it('are served by Fastify', async () => {
    const handler = pprofHandler();
    const app = fastify();
    app.get(PATH, (req, reply) => {
      reply.hijack();
      handler(req.raw, reply.raw);
    });
    try {
      const origin = await app.listen({ port: 0, host: '127.0.0.1' });
      assert.ok(work(await scrape(`${origin}${PATH}?seconds=1`)).length > 0);
      assert.equal((await fetch(`${origin}${PATH}?seconds=0`)).status, 400);
    } finally {
      await app.close();
    }
  });

  it('are complete for two scrapers and the push agent at once, by one sampler', async function () {
    this.timeout(60_000 + ROUNDS * SCRAPE_INTERVAL_MS);
    const pyroscope = await PyroscopeServer.start();
    const agent = startPyroscope({
      serverAddress: pyroscope.url,
      applicationName: 'app',
      flushIntervalMs: SCRAPE_INTERVAL_MS,
    });
    const observer = new CpuProfiler();
    observer.start();
    const cpuBefore = cpuMicros();
    await serve(pprofHandler());
    /** As Alloy: the next begins an interval after the last, which has ended a second before. */
    const scraper = async (delay) => {
      await sleep(delay);
      const scrapes = [];
      for (let round = 0; round < ROUNDS; round++) {
        const next = sleep(SCRAPE_INTERVAL_MS);
        scrapes.push(await scrape(`${url}?seconds=${SCRAPE_SECONDS}`));
        if (round < ROUNDS - 1) await next;
      }
      return scrapes;
    };
    const scrapes = (await Promise.all([scraper(0), scraper(SCRAPE_SECONDS * 500)])).flat();
    await agent.stop();
    const { signals } = observer.metrics();
    await observer.stop();
    await pyroscope.close();
    assert.deepEqual(pyroscope.complaints, []);
    const now = Date.now(); // The readings of the CPU are to go beyond the last window.
    while (readings.at(-1)[0] <= now) await sleep(20);
    const shares = [];
    for (const profile of scrapes) {
      assert.ok(work(profile).length > 0);
      assert.ok(seconds(profile) >= SCRAPE_SECONDS - 0.01, `${seconds(profile)} s`);
      const found = profile.samples.reduce((sum, sample) => sum + sample.nanos, 0);
      const [least, most] = cpuWithin(profile);
      const slack = 50e6; // CPU for which no timer has fired yet, at both ends.
      assert.ok(found > least - slack && found < most + slack, `${found} of ${least} … ${most} ns`);
      shares.push((2 * found) / (least + most));
    }
    // The agent's windows follow each other without a gap.
    const windows = pyroscope.uploads.map(({ profile }) => profile);
    assert.ok(windows.length >= 2);
    for (const [index, { timeNanos }] of windows.slice(1).entries()) {
      const gap = Number(timeNanos - windows[index].timeNanos - windows[index].durationNanos);
      assert.ok(Math.abs(gap) < 500e6, `${gap} ns`);
    }
    // Up to four windows at once see the same samples: with a timer each there were more signals.
    const intervals = (cpuMicros() - cpuBefore) / 10_000;
    assert.ok(
      signals > 0 && signals < intervals * 1.5,
      `${signals} signals, ${intervals} intervals`,
    );
    if (SCRAPE_SECONDS > 1) {
      console.log(
        `${scrapes.length} scrapes of ${SCRAPE_SECONDS} s and ${windows.length} windows of the agent: ` +
          `${shares.map((share) => `${(100 * share).toFixed(1)} %`).join(', ')} of their CPU, ` +
          `${signals} signals for ${Math.round(intervals)} intervals`,
      );
    }
  });

  it('are refused with the reason unless seconds are from 1 to 300', async () => {
    await serve(pprofHandler());
    for (const query of [
      '0',
      '301',
      '1.5',
      '-1',
      'x',
      '',
      '1e2',
      '14s',
      '9999999999',
      '1&seconds=2',
    ]) {
      const response = await fetch(`${url}?seconds=${query}`);
      assert.equal(response.status, 400, query);
      assert.match(await response.text(), /seconds must be one whole number from 1 to 300/);
    }
  });

  it('are for GET, and HEAD takes none', async () => {
    await serve(pprofHandler({ maxSeconds: 2 }));
    const head = await fetch(`${url}?seconds=2`, { method: 'HEAD' });
    assert.equal(head.status, 200);
    assert.equal(head.headers.get('content-type'), 'application/octet-stream');
    assert.equal((await fetch(`${url}?seconds=3`, { method: 'HEAD' })).status, 400);
    const post = await fetch(url, { method: 'POST', body: 'x' });
    assert.equal(post.status, 405);
    assert.equal(post.headers.get('allow'), 'GET, HEAD');
  });

  it('are limited in number, and dropped if the client disconnects', async () => {
    await serve(pprofHandler({ maxConcurrent: 2 }));
    const open = [1, 2].map(() => request(`${url}?seconds=300`).on('error', () => {}));
    for (const each of open) each.end();
    const status = async () => (await fetch(`${url}?seconds=1`, { method: 'GET' })).status;
    // The two may come after the first of these: that one is then taken.
    while ((await status()) !== 503);
    for (const each of open) each.destroy();
    // 300 s have not passed: the place is free because the client has gone.
    while ((await status()) !== 200);
  });

  it('come with the page of the viewer only if an option enables it', async () => {
    server = await servePprof();
    assert.equal((await fetch(`http://127.0.0.1:${server.address().port}/`)).status, 404);
    server.close();
    server = await servePprof({ ui: true, intervalMicros: 4_000 });
    const base = `http://127.0.0.1:${server.address().port}`;
    const page = await fetch(base);
    assert.equal(page.status, 200);
    assert.match(await page.text(), /<title>/);
    const profile = await fetch(`${base}/debug/pprof/profile?seconds=1`);
    assert.equal(profile.status, 200);
    readProfile(new Uint8Array(await profile.arrayBuffer()));
    assert.equal((await fetch(`${base}/elsewhere`)).status, 404);
  });

  it('come with a warning only if other machines can see the page', async () => {
    const log = logDiag();
    try {
      for (const [host, warnings] of [
        ['127.0.0.1', 0],
        ['0.0.0.0', 1],
      ]) {
        const { length } = log.messages;
        server = await servePprof({ ui: true, host });
        const said = log.messages.slice(length).join('\n');
        assert.equal(
          said.split('can be seen by everybody who can reach 0.0.0.0').length - 1,
          warnings,
        );
        if (warnings === 0) server.close();
      }
    } finally {
      log.close();
    }
  });

  /** The status for a request with these headers, which fetch() would not send. */
  const statusOf = async (port, headers, path = `${PATH}?seconds=0`) => {
    const sent = request({ host: '127.0.0.1', port, path, headers, agent: false }).end();
    const [response] = await once(sent, 'response');
    response.resume();
    await once(response, 'end');
    return response.statusCode;
  };
  // The status for `seconds=0`, which is wrong, where the request is not refused.
  const ANSWERED = 400;
  const REFUSED = 403;

  it('are refused to pages whose name points to loopback, and to those of other sites', async () => {
    server = await servePprof({ allowedHosts: ['App.internal', '::2'] });
    const { port } = server.address();
    const own = [
      { host: `127.0.0.1:${port}` },
      { host: `localhost:${port}` },
      { host: `[::1]:${port}` },
      { host: 'localhost:8080' }, // As a tunnel or a container's port has it.
      { host: `app.internal:${port}` },
      { host: 'APP.internal' },
      { host: '[::2]:80' },
      { 'sec-fetch-site': 'none' },
      { host: `localhost:${port}`, origin: `http://localhost:${port}` },
    ];
    const others = [
      { host: `attacker.example:${port}`, origin: `http://attacker.example:${port}` },
      { host: `attacker.example:${port}` },
      { host: `127.0.0.1.attacker.example:${port}` },
      { host: `10.0.0.7:${port}` },
      { host: `localhost:${port}`, origin: 'http://attacker.example' },
      { origin: 'null' },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
    ];
    for (const headers of own) {
      assert.equal(await statusOf(port, headers), ANSWERED, JSON.stringify(headers));
    }
    for (const headers of others) {
      assert.equal(await statusOf(port, headers), REFUSED, JSON.stringify(headers));
    }
    server.close();
    server = await servePprof();
    const { port: plain } = server.address();
    assert.equal(await statusOf(plain, { host: `localhost:${plain}` }), ANSWERED);
    assert.equal(await statusOf(plain, { host: `app.internal:${plain}` }), REFUSED);
  });

  it('are for every Host on other interfaces, unless allowedHosts is given', async () => {
    const hosts = ['attacker.example', 'app.internal', '10.0.0.7'];
    for (const [options, expected] of [
      [{}, [ANSWERED, ANSWERED, ANSWERED]],
      [{ allowedHosts: ['app.internal'] }, [REFUSED, ANSWERED, ANSWERED]],
    ]) {
      server = await servePprof({ host: '0.0.0.0', ...options });
      const { port } = server.address();
      const statuses = [];
      for (const host of hosts) statuses.push(await statusOf(port, { host: `${host}:${port}` }));
      assert.deepEqual(statuses, expected);
      server.close();
    }
  });

  it('are for the hosts in allowedHosts of the handler, by default for all', async () => {
    for (const [options, expected] of [
      [undefined, [ANSWERED, ANSWERED, ANSWERED]],
      [{ allowedHosts: ['app.internal'] }, [ANSWERED, REFUSED, REFUSED]],
    ]) {
      await serve(pprofHandler(options));
      const { port } = server.address();
      const statuses = [];
      for (const host of ['app.internal', 'localhost', '10.0.0.7']) {
        statuses.push(await statusOf(port, { host: `${host}:${port}` }));
      }
      assert.deepEqual(statuses, expected);
      server.close();
    }
  });

  it('come with a page for the same hosts', async () => {
    server = await servePprof({ ui: true, allowedHosts: ['app.internal'] });
    const { port } = server.address();
    assert.equal(await statusOf(port, { host: `app.internal:${port}` }, '/'), 200);
    assert.equal(await statusOf(port, { host: `attacker.example:${port}` }, '/'), 403);
  });

  it('are refused for wrong options', async () => {
    const cases = [
      [{ maxSeconds: 301 }, /maxSeconds/],
      [{ maxConcurrent: 0 }, /maxConcurrent/],
      [{ intervalMicros: 1 }, /intervalMicros/],
      [{ seconds: 1 }, /unknown option "seconds"/],
      [{ allowedHosts: 'app.internal' }, /allowedHosts must be an array of 1 to 64 host names/],
      [{ allowedHosts: [] }, /allowedHosts must be an array/],
      [{ allowedHosts: Array(65).fill('a') }, /allowedHosts must be an array/],
      [{ allowedHosts: ['app.internal:80'] }, /without a port, got "app.internal:80"/],
      [{ allowedHosts: ['http://app'] }, /allowedHosts must be names/],
      [{ allowedHosts: [''] }, /allowedHosts must be names/],
      [{ allowedHosts: [1] }, /allowedHosts must be names.*got 1/],
    ];
    for (const [options, message] of cases) {
      assert.throws(() => pprofHandler(options), { message });
      await assert.rejects(servePprof(options), { message });
    }
    await assert.rejects(servePprof({ port: 65_536 }), /port must be/);
    await assert.rejects(servePprof({ ui: 1 }), /ui must be true or false/);
    server = await servePprof();
    const { port } = server.address();
    await assert.rejects(servePprof({ port }), { code: 'EADDRINUSE' });
  });
});
