/** The OpenTelemetry Collector of test/servers/collector: built with Go, started between an upload and a sink. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { ROOT } from '../support/run-child.mjs';
import { ServerProcess } from './processes.mjs';

const SOURCE = path.join(ROOT, 'test', 'servers', 'collector');
const BINARY = path.join(ROOT, '.cache', 'servers', 'collector');

/** Returns the reason why it cannot be built here, or undefined. */
export function whyNoCollector() {
  const { status, stdout } = spawnSync('go', ['env', 'GOVERSION'], { encoding: 'utf8' });
  if (status !== 0) return 'there is no Go';
  // Since 1.21 an older Go fetches the one that go.mod names.
  const minor = Number(/^go1\.(\d+)/.exec(stdout.trim())?.[1] ?? Infinity);
  return minor < 21 ? `${stdout.trim()} is too old` : undefined;
}

/** Compiles what has changed since the last time: the first time takes minutes, and downloads modules. */
export function buildCollector() {
  mkdirSync(path.dirname(BINARY), { recursive: true });
  const { status, stderr } = spawnSync('go', ['build', '-o', BINARY, '.'], {
    cwd: SOURCE,
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  if (status !== 0) throw new Error(`go build failed:\n${stderr}`);
}

/** An OTLP profiles request as the Collector's own library reads it: see collector/decode.go. */
export function decodeByCollector(request) {
  const { status, stdout, stderr } = spawnSync(BINARY, ['decode'], {
    input: request,
    encoding: 'utf8',
    maxBuffer: 256 * 1024 * 1024,
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

/** The server that the Collector forwards requests to. */
export class Sink {
  /** Bodies of requests, without gzip. */
  requests = [];
  /** Errors of requests. */
  complaints = [];
  #server = createServer((req, res) => void this.#take(req, res));

  static async start() {
    const sink = new Sink();
    sink.#server.listen(0, '127.0.0.1');
    await once(sink.#server, 'listening');
    return sink;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  async #take(req, res) {
    const chunks = [];
    for await (const chunk of req) chunks.push(chunk);
    if (req.url !== '/v1development/profiles') this.complaints.push(req.url);
    const body = Buffer.concat(chunks);
    this.requests.push(req.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body);
    res.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
  }

  async close() {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }
}

/** Starts it: what it receives on `port` by OTLP over HTTP goes to the sink, and is counted in its log. */
export async function startCollector(port, sink) {
  const file = path.join(path.dirname(BINARY), `collector-${port}.yaml`);
  writeFileSync(
    file,
    `receivers: { otlp: { protocols: { http: { endpoint: '127.0.0.1:${port}' } } } }
exporters:
  debug: { verbosity: basic }
  otlp_http: { endpoint: '${sink.url}' }
service:
  telemetry: { metrics: { level: none } }
  pipelines: { profiles: { receivers: [otlp], exporters: [debug, otlp_http] } }
`,
  );
  const args = [`--config=file:${file}`, '--feature-gates=service.profilesSupport'];
  try {
    return await ServerProcess.start(BINARY, args, port);
  } finally {
    rmSync(file);
  }
}
