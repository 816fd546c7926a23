/** A real Pyroscope: the binary that PYROSCOPE_BINARY names, on loopback, or a server that runs at PYROSCOPE_SERVER_ADDRESS. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CPU_KIND } from '../support/pyroscope-rules.mjs';
import { eventually, freePort, ServerProcess } from './processes.mjs';

const { noteNotRun } = createRequire(import.meta.url)('../support/not-run.cjs');

const { PYROSCOPE_BINARY, PYROSCOPE_SERVER_ADDRESS } = process.env;
/** The agents of the tests are configured by code alone. */
for (const name of Object.keys(process.env)) {
  if (name.startsWith('PYROSCOPE_')) delete process.env[name];
}

/** Skips the test or suite under way, and has the suite say so at its end. */
export function skipWithNote(test, reason) {
  noteNotRun(reason);
  test.skip();
}

/** The server that all tests share but those that restart it. */
let shared;

/** Call this in a describe(). Returns an object that has the server as `server` while the tests run. */
export function useSharedServer() {
  const use = { server: undefined };
  before(async function () {
    this.timeout(240_000);
    if (!PYROSCOPE_BINARY && !PYROSCOPE_SERVER_ADDRESS) {
      const names = 'PYROSCOPE_BINARY nor PYROSCOPE_SERVER_ADDRESS';
      skipWithNote(this, `Pyroscope: neither ${names} is set`);
    }
    shared ??= Pyroscope.open();
    use.server = await shared;
  });
  return use;
}

// Hooks of the suite around all files.
after(async () => {
  await (await shared?.catch(() => undefined))?.close();
});

/**
 * How long a test waits for what it has pushed: a server with its default configuration finds nothing
 * of a new tenant for some minutes (see docs/grafana). The suite's own finds it at once.
 */
export const FOUND_SECONDS = 600;

/**
 * A tenant and a service that no other test has: what a query finds is the test's own, also on a
 * server without tenants.
 */
export const newTenant = () => `test-${randomUUID()}`;
export const newService = () => `shop-${randomUUID()}`;

export class Pyroscope {
  url;
  /** The version that the server reports, such as '2.2.1'. */
  version;
  /** Whether requests need a tenant. */
  isMultiTenant = false;
  /** Whether it can select by trace, since 2.2. One that cannot ignores the selector. */
  knowsTraces = false;
  #process;
  #port;
  #folder;
  #arguments;

  /** The server of all tests that only push and ask: the one that runs, or one with tenants. */
  static async open() {
    const server = new Pyroscope();
    if (PYROSCOPE_BINARY) {
      await server.#create(true);
      await server.start();
    } else {
      server.url = PYROSCOPE_SERVER_ADDRESS.replace(/\/$/, '');
      await server.#untilReady();
    }
    await server.#readFeatures();
    return server;
  }

  /** A server of a test's own, without tenants, which it starts and stops; skips it where it cannot. */
  static async own(test) {
    if (!PYROSCOPE_BINARY) {
      skipWithNote(test, 'Pyroscope that restarts: PYROSCOPE_BINARY is not set');
    }
    const server = new Pyroscope();
    await server.#create(false);
    return server;
  }

  async #create(multiTenant) {
    this.#folder = await mkdtemp(path.join(tmpdir(), 'pyroscope-'));
    this.#port = await freePort();
    this.url = `http://127.0.0.1:${this.#port}`;
    this.#arguments = await argumentsOf(this.#port, this.#folder, multiTenant);
  }

  /** Starts it, or starts it again: on the same ports, with the data that it had. */
  async start() {
    this.#process = await ServerProcess.start(PYROSCOPE_BINARY, this.#arguments, this.#port);
    await this.#untilReady();
  }

  /** Waits until the server accepts pushes and queries, by default a minute after it has begun to listen. */
  async #untilReady() {
    const isReady = async () => {
      const response = await fetch(`${this.url}/ready`);
      await response.arrayBuffer();
      return response.ok;
    };
    await eventually(`Pyroscope at ${this.url} is ready`, isReady, 150);
  }

  async #readFeatures() {
    const ask = async (question, headers) => {
      const response = await fetch(`${this.url}/querier.v1.QuerierService/SelectMergeStacktraces`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
        body: JSON.stringify({
          profileTypeID: CPU_KIND,
          labelSelector: '{}',
          start: String(Date.now() - 60_000),
          end: String(Date.now()),
          ...question,
        }),
      });
      await response.arrayBuffer();
      return response.status;
    };
    this.isMultiTenant = (await ask({}, {})) === 401;
    // One that knows both selectors does not take them together, and has an answer of its own where
    // there is no data yet (501).
    const both = { spanSelector: ['0'.repeat(16)], traceIdSelector: ['0'.repeat(32)] };
    const status = await ask(both, { 'x-scope-orgid': newTenant() });
    this.knowsTraces = status === 400 || status === 501;
    const response = await fetch(`${this.url}/api/v1/status/buildinfo`);
    this.version = (await response.json()).data?.version;
  }

  async stop() {
    await this.#process?.stop();
    this.#process = undefined;
  }

  /** Stops it where it is the suite's own, and removes its data. */
  async close() {
    await this.stop();
    if (this.#folder !== undefined) await rm(this.#folder, { recursive: true, force: true });
  }
}

/** Nothing of it listens elsewhere than on loopback, speaks to anybody, or profiles itself. */
async function argumentsOf(port, folder, multiTenant) {
  const host = '127.0.0.1';
  const grpc = await freePort();
  const raft = `${host}:${await freePort()}`;
  const data = (name) => path.join(folder, name);
  const rings = ['compactor.ring', 'distributor.ring', 'overrides-exporter.ring'];
  rings.push('query-scheduler.ring', 'store-gateway.sharding-ring', 'query-frontend');
  const options = {
    'server.http-listen-address': host,
    'server.http-listen-port': port,
    'server.grpc-listen-address': host,
    'server.grpc-listen-port': grpc,
    'memberlist.bind-addr': host,
    'memberlist.bind-port': await freePort(),
    'memberlist.advertise-addr': host,
    ...Object.fromEntries(rings.map((ring) => [`${ring}.instance-addr`, host])),
    'ingester.lifecycler.addr': host,
    'segment-writer.lifecycler.addr': host,
    'metastore.address': `${host}:${grpc}`,
    'query-backend.address': `${host}:${grpc}`,
    'metastore.raft.bind-address': raft,
    'metastore.raft.advertise-address': raft,
    'metastore.raft.server-id': raft,
    'metastore.raft.dir': data('raft'),
    'metastore.data-dir': data('metastore'),
    'pyroscopedb.data-path': data('db'),
    'storage.filesystem.dir': data('storage'),
    'compactor.data-dir': data('compactor'),
    'blocks-storage.bucket-store.sync-dir': data('sync'),
    'auth.multitenancy-enabled': multiTenant,
    // By default it asks once a minute whether a tenant has data, and finds nothing until then.
    'enable-query-backend-from': '2020-01-01T00:00:00Z',
    'ingester.min-ready-duration': '0s',
    'metastore.min-ready-duration': '0s',
    'segment-writer.min-ready-duration': '0s',
    'usage-stats.enabled': false,
    'self-profiling.disable-push': true,
  };
  return Object.entries(options).map(([name, value]) => `-${name}=${value}`);
}
