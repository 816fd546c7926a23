/** The push agent against a stand-in for Pyroscope: windows, names, and the end of the process. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { connect } from 'node:net';
import { Worker } from 'node:worker_threads';
import { CpuProfiler, startPyroscope, withLabels } from 'otelpyroscope';
import { createBurners, cpuMicros } from '../../support/burners.mjs';
import { PyroscopeServer } from '../../support/pyroscope-server.mjs';
import { runCode } from '../../support/run-child.mjs';

const { version } = createRequire(import.meta.url)('../../../package.json');
/** Labels that the agent adds to every series, by the names that the stand-in shows. */
const AGENT_LABELS = {
  otel_scope_name: 'otelpyroscope',
  otel_scope_version: version,
  process_runtime_name: 'nodejs',
  process_runtime_version: process.versions.node,
};
const burners = createBurners(['labelled', 'plain']);

/** Uses CPU for certain, whatever else runs on the machine. */
function burn(name, millis = 100) {
  const until = cpuMicros() + millis * 1_000;
  while (cpuMicros() < until) burners.get(name)(2_000);
}

/**
 * The port of a server to which no connection comes about: it never accepts one, and the kernel has
 * no room for another that waits. `close` ends it.
 */
async function startUnreachable() {
  const code = `
    const { parentPort } = require('node:worker_threads');
    const server = require('node:net').createServer();
    server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
      parentPort.postMessage(server.address().port);
      // From now on the loop of this thread stands still.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });`;
  const worker = new Worker(code, { eval: true });
  const [port] = await once(worker, 'message');
  const sockets = [];
  for (let connected = true; connected;) {
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    sockets.push(socket);
    const waited = new Promise((resolve) => setTimeout(resolve, 500, false));
    connected = await Promise.race([once(socket, 'connect').then(() => true), waited]);
  }
  const close = async () => {
    for (const socket of sockets) socket.destroy();
    await worker.terminate();
  };
  return { port, close };
}

const names = ({ stack }) => stack.map(({ name }) => name);
const ran = (name) => (sample) => names(sample).includes(`burn_${name}`);

describe('the push agent', function () {
  this.timeout(60_000);

  let server;
  let agents = [];
  /** The interval in which a test works, until it is over. */
  let work;

  const start = (config) => {
    const agent = startPyroscope({
      serverAddress: server.url,
      applicationName: 'unknown_service:node',
      flushIntervalMs: 300_000,
      ...config,
    });
    agents.push(agent);
    return agent;
  };

  beforeEach(async () => {
    server = await PyroscopeServer.start();
  });

  afterEach(async () => {
    clearInterval(work);
    await Promise.all(agents.map((agent) => agent.stop()));
    agents = [];
    await server.close();
    assert.deepEqual(server.complaints, []);
  });

  for (const protocol of ['ingest', 'connect', 'otlp']) {
    it(`uploads the functions that ran, with labels, by ${protocol}`, async () => {
      const agent = start({ protocol, tags: { zone: 'a' } });
      const ids = { trace_id: '1'.repeat(32), span_id: '2'.repeat(16) };
      withLabels({ ...ids, tenant: 'acme' }, () => burn('labelled'));
      burn('plain');
      await agent.flush();
      const [{ series, profile }] = server.uploads;
      assert.deepEqual(series, {
        service_name: 'unknown_service:node',
        ...AGENT_LABELS,
        zone: 'a',
      });
      const labelled = profile.samples.filter(ran('labelled'));
      assert.ok(labelled.length > 0);
      for (const { labels } of labelled) {
        assert.deepEqual(Object.fromEntries(labels), { ...ids, tenant: 'acme' });
      }
      assert.ok(profile.samples.filter(ran('plain')).every(({ labels }) => labels.length === 0));
      if (protocol === 'otlp') assert.ok(profile.linked >= labelled.length);
      assert.deepEqual(agent.metrics(), {
        uploads: 1,
        retries: 0,
        droppedProfiles: 0,
        droppedBytes: 0,
        queued: 0,
        lastError: undefined,
        splitProfiles: 0,
        trimmedSamples: 0,
        droppedLabels: 0,
        otherLabelValues: 0,
      });
    });
  }

  for (const protocol of ['ingest', 'connect', 'otlp']) {
    it(`uploads at most maxLabelValues values of a label name, by ${protocol}`, async () => {
      const agent = start({ protocol, maxLabelValues: 2 });
      for (const user of ['one', 'two', 'three', 'four']) {
        withLabels({ user }, () => burn('labelled', 60));
      }
      await agent.flush();
      const [{ profile }] = server.uploads;
      const users = profile.samples.map(({ labels }) => Object.fromEntries(labels).user);
      const values = new Set(users.filter((user) => user !== undefined));
      assert.equal(values.size, 3);
      assert.ok(values.has('(other)'));
      assert.ok(agent.metrics().otherLabelValues >= 2);
    });
  }

  for (const protocol of ['ingest', 'connect', 'otlp']) {
    it(`uploads labels with names that Grafana shows, by ${protocol}`, async () => {
      const tags = { 'tenant.id': 'dotted', tenant_id: 'wins', 'k8s.pod.name': 'pod', 'a.b': '1' };
      const agent = start({ protocol, tags });
      const labels = { 'http.route': '/cart/:id', 'user.id': 'dotted', user_id: 'wins' };
      withLabels({ ...labels, 'span.id': 'no' }, () => burn('labelled'));
      await agent.flush();
      const [{ series, profile }] = server.uploads;
      const [sample] = profile.samples.filter(ran('labelled'));
      const found = Object.fromEntries(sample.labels);
      const ofService = { service_name: 'unknown_service:node' };
      if (protocol === 'otlp') {
        // The stand-in shows a resource as Pyroscope stores it.
        assert.equal(series.k8s_pod_name, 'pod');
        assert.deepEqual(found, { ...labels, 'span.id': 'no' });
        assert.equal(agent.metrics().droppedLabels, 0);
      } else {
        const shown = { tenant_id: 'wins', k8s_pod_name: 'pod', a_b: '1' };
        assert.deepEqual(series, { ...ofService, ...AGENT_LABELS, ...shown });
        // It must not become the id of a span.
        const kept = { 'span.id': 'no' };
        assert.deepEqual(found, { http_route: '/cart/:id', user_id: 'wins', ...kept });
        assert.ok(agent.metrics().droppedLabels > 0);
        assert.deepEqual(server.complaints.splice(0), ['label span.id = no']);
      }
    });
  }

  it('uploads window after window, each beginning where the last has ended', async () => {
    start({ flushIntervalMs: 1_000 });
    work = setInterval(() => burn('plain', 30), 50);
    await server.until(({ uploads }) => uploads.length >= 3, 'three uploads', 30_000);
    const windows = server.uploads.map(({ profile }) => profile);
    for (let i = 1; i < windows.length; i++) {
      const end = windows[i - 1].timeNanos + windows[i - 1].durationNanos;
      const gap = Math.abs(Number(windows[i].timeNanos - end));
      assert.ok(gap < 500_000_000, `${gap} ns between two windows`);
    }
  });

  it('delivers the last window at stop(), once, and then does nothing', async () => {
    const agent = start();
    burn('plain');
    const stopped = agent.stop();
    assert.equal(agent.stop(), stopped);
    await stopped;
    assert.equal(server.uploads.length, 1);
    await agent.flush();
    assert.equal(server.uploads.length, 1);
  });

  it('does not label its own work, wherever it was started', async () => {
    const agent = withLabels({ request: 'first' }, () => start({ flushIntervalMs: 1_000 }));
    work = setInterval(() => burn('plain', 20), 50);
    await server.until(({ uploads }) => uploads.length >= 2, 'two uploads', 30_000);
    await agent.stop();
    const samples = server.uploads.flatMap(({ profile }) => profile.samples);
    assert.deepEqual(samples.filter(({ labels }) => labels.length > 0).map(names), []);
  });

  it('shares the sampler with other profilers, each with a window of its own', async () => {
    const agent = start();
    const other = new CpuProfiler();
    other.start();
    burn('plain');
    await agent.flush();
    burn('labelled');
    const bytes = await other.stop();
    await agent.stop();
    assert.ok(bytes.length > 0);
    const [first, second] = server.uploads.map(({ profile }) => profile.samples);
    assert.ok(first.some(ran('plain')) && !first.some(ran('labelled')));
    assert.ok(second.some(ran('labelled')) && !second.some(ran('plain')));
  });

  describe('in a process', () => {
    /** Burns, and says what its agent has done when it ends. */
    const program = (config, then = '') => `
      const { startPyroscope } = require('otelpyroscope');
      const agent = startPyroscope(${JSON.stringify(config)});
      const until = process.cpuUsage().user + 100_000;
      while (process.cpuUsage().user < until);
      process.on('exit', () => process.send(agent.metrics()));
      ${then}`;
    const config = (more) => ({ applicationName: 'app', flushIntervalMs: 300_000, ...more });

    it('uploads the last window at its natural end', async () => {
      const ended = await runCode(program(config({ serverAddress: server.url })));
      assert.equal(ended.code, 0, ended.stderr);
      assert.equal(ended.messages[0].uploads, 1);
      assert.equal(server.uploads[0].app, 'app');
    });

    it('lets the process end within 5 s, by itself or after stop(), whatever the server does, and counts losses', async () => {
      server.respond = () => true; // No answer.
      const then = `
        const began = performance.now();
        process.on('exit', () => process.send(performance.now() - began));`;
      const address = { serverAddress: server.url, timeoutMs: 60_000 };
      const running = runCode(program(config(address), then));
      const agent = start();
      burn('plain');
      await agent.stop();
      const { uploads, droppedProfiles, droppedBytes, queued, lastError } = agent.metrics();
      const counts = { uploads, droppedProfiles, queued };
      assert.deepEqual(counts, { uploads: 0, droppedProfiles: 1, queued: 0 });
      assert.ok(droppedBytes > 0);
      assert.match(lastError, /^not delivered within 5000 ms/);

      const ended = await running;
      assert.equal(ended.code, 0, ended.stderr);
      const [metrics, millis] = ended.messages;
      assert.equal(metrics.uploads, 0);
      // Far from the time-out of 60 s, and from all that a busy machine can add to 5 s.
      assert.ok(millis < 30_000, `${millis} ms`);
    });

    it('lets the process end 5 s after its work, however often windows end meanwhile', async () => {
      const unreachable = await startUnreachable();
      const closed = await PyroscopeServer.start();
      const refuses = closed.url;
      await closed.close();
      const hanging = await PyroscopeServer.start();
      hanging.respond = () => true;
      server.respond = (req, res) => (res.writeHead(500).end('no'), true);
      const then = `
        let began;
        process.once('beforeExit', () => (began = performance.now()));
        process.on('exit', () => process.send(performance.now() - began));`;
      const addresses = {
        'answers 500': server.url,
        hangs: hanging.url,
        refuses,
        'cannot be reached': `http://127.0.0.1:${unreachable.port}`,
      };
      const run = async (what, serverAddress) => {
        const options = config({ serverAddress, timeoutMs: 60_000, flushIntervalMs: 1_000 });
        const ended = await runCode(program(options, then), { timeoutMs: 40_000 });
        assert.equal(ended.code, 0, ended.stderr);
        // Twice the deadline: a busy machine may be late, but nothing may begin anew.
        assert.ok(ended.messages[1] < 10_000, `${what}: ${ended.messages[1]} ms`);
      };
      try {
        await Promise.all(Object.entries(addresses).map((each) => run(...each)));
      } finally {
        await hanging.close();
        await unreachable.close();
      }
    });

    it('continues if the application goes on after beforeExit', async function () {
      this.timeout(100_000);
      const then = `
        function late() {
          const until = process.cpuUsage().user + 20_000;
          while (process.cpuUsage().user < until);
        }
        process.once('beforeExit', () => {
          const timer = setInterval(late, 50);
          process.once('message', () => clearInterval(timer));
        });`;
      const ranLate = ({ profile }) => profile.samples.some((each) => names(each).includes('late'));
      // At once, and then again and again: one window would be that of the end itself.
      const isDone = ({ uploads }) => uploads.filter(ranLate).length >= 2;
      const onSpawn = (child) =>
        server.until(isDone, 'two windows', 80_000).then(() => child.send('end'));
      const options = config({ serverAddress: server.url, flushIntervalMs: 1_000 });
      // On a busy machine the flush at the end may not be in time: see ALIVE_AFTER_DEADLINE_MS.
      const ended = await runCode(program(options, then), { onSpawn, timeoutMs: 90_000 });
      assert.equal(ended.code, 0, ended.stderr);
    });

    it('does not keep the process alive with an upload under way', async () => {
      const then = `
        process.once('message', () => {}); // Until then the channel holds the process.
        process.once('beforeExit', () => process.exit(0));`;
      server.respond = () => true;
      const address = { serverAddress: server.url, timeoutMs: 60_000, flushIntervalMs: 1_000 };
      const began = performance.now();
      const onSpawn = (child) =>
        server
          .until(({ requests }) => requests > 0, 'an upload', 30_000)
          .then(() => child.send('end'));
      const ended = await runCode(program(config(address), then), { onSpawn });
      assert.equal(ended.code, 0, ended.stderr);
      // Far from the time-out of the upload.
      assert.ok(performance.now() - began < 45_000);
    });

    it('does not profile if the environment disables it', async () => {
      const env = { PYROSCOPE_PROFILING_ENABLED: 'false' };
      const ended = await runCode(program(config({ serverAddress: server.url })), { env });
      assert.equal(ended.code, 0, ended.stderr);
      assert.equal(ended.messages[0].uploads, 0);
      assert.equal(server.requests, 0);
    });
  });
});
