/** A stand-in for Pyroscope: speaks its three push protocols, and complains about whatever the real one would not keep. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { gunzipSync } from 'node:zlib';
import { decodeOtlp } from './otlp-decode.mjs';
import {
  complaintsAbout,
  CPU_KIND,
  decodePprof,
  fail,
  kindsOf,
  parseIngestName,
  refusalOf,
} from './pyroscope-rules.mjs';

const MAX_UPLOAD_BYTES = 2_000_000;

/**
 * @typedef {object} Upload
 * @property {'ingest' | 'connect' | 'otlp'} protocol
 * @property {Record<string, string>} series Its labels, without those of the server.
 * @property {string} [id] Of the profile, where the protocol has one, in hexadecimal.
 * @property {string} [name] Of the profile, where the client gives it one (connect).
 * @property {string[]} kinds By which queries find it: see `kindsOf`.
 * @property {any} profile As `decodePprof` and `decodeOtlp` return it.
 * @property {import('node:http').IncomingHttpHeaders} headers
 * @property {URLSearchParams} query
 */

export class PyroscopeServer {
  /** @type {Upload[]} The uploads that the server keeps. */
  uploads = [];
  /** Faults of uploads that a real server drops without a message. */
  complaints = [];
  /** Requests, also those that `respond` has answered. */
  requests = 0;
  /**
   * Responds in place of the server: (req, res, number of the request) => whether it did.
   * @type {((req: any, res: any, number: number) => boolean | void) | undefined}
   */
  respond;
  /** While the real server starts or stops: it answers, but its segment writer is away. */
  unavailable = false;
  /** Multi-tenancy: requests without `X-Scope-OrgID` are refused. */
  multiTenant = false;
  #server = createServer((req, res) => void this.#serve(req, res));
  #waiting = new Set();

  static async start(port = 0) {
    const server = new PyroscopeServer();
    server.#server.listen(port, '127.0.0.1');
    await once(server.#server, 'listening');
    return server;
  }

  get port() {
    return this.#server.address().port;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Resolves as soon as the condition holds; looked at after every request. */
  until(condition, what = String(condition), timeoutMs = 15_000) {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (!condition(this)) return;
        clearTimeout(timer);
        this.#waiting.delete(look);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(look);
        reject(new Error(`not within ${timeoutMs} ms: ${what}; ${this.complaints.join('; ')}`));
      }, timeoutMs);
      this.#waiting.add(look);
      look();
    });
  }

  async close() {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  async #serve(req, res) {
    this.requests += 1;
    const number = this.requests;
    try {
      const chunks = [];
      for await (const chunk of req) chunks.push(chunk);
      if (this.respond?.(req, res, number) !== true && !this.#refuse(req, res)) {
        this.#keep(req, res, Buffer.concat(chunks));
      }
    } catch {
      // The client has gone.
    }
    for (const look of [...this.#waiting]) look();
  }

  /** Answers as Pyroscope 2.2.1 was seen to where it takes nothing. */
  #refuse(req, res) {
    const unavailable = 'rpc error: code = Unavailable desc = service is unavailable';
    if (this.multiTenant && req.headers['x-scope-orgid'] === undefined) {
      res.writeHead(401).end('no org id');
      return true;
    }
    if (!this.unavailable) return false;
    if (req.url.startsWith('/ingest')) {
      const message = `pushing IngestInput-pprof failed push series with index 0 and id failed: unknown: ${unavailable}`;
      res.writeHead(422, { 'content-type': 'application/json' });
      res.end(JSON.stringify({ code: 'unknown', message }));
    } else if (req.url.startsWith('/push.v1')) {
      res.writeHead(500, { 'content-type': 'application/json' });
      res.end(JSON.stringify({ code: 'unknown', message: unavailable }));
    } else {
      res.writeHead(500).end(`failed to make a GRPC request: unknown: ${unavailable}\n`);
    }
    return true;
  }

  #keep(req, res, body) {
    try {
      const upload = readUpload(req, body);
      const options = { otlp: upload.protocol === 'otlp' };
      const complaints = complaintsAbout(upload.profile, upload.series, options);
      this.complaints.push(...complaints);
      if (!upload.kinds.includes(CPU_KIND)) this.complaints.push(`kinds ${upload.kinds}`);
      const refusal = refusalOf(upload);
      if (refusal !== undefined) {
        answerRefusal(res, upload.protocol, refusal);
        return;
      }
      this.uploads.push(upload);
      res.writeHead(200).end(upload.protocol === 'connect' ? '{}' : '');
    } catch (error) {
      this.complaints.push(error.message);
      res.writeHead(400).end(error.message);
    }
  }
}

/** As each protocol says it; /ingest answers 422 to all that is wrong with a profile. */
function answerRefusal(res, protocol, { code, message }) {
  const isBusy = code === 'resource_exhausted';
  const status = isBusy ? 429 : protocol === 'ingest' ? 422 : 400;
  const failed = `push series with index 0 and id  failed: ${code}: ${message}`;
  if (protocol === 'otlp') {
    res.writeHead(status).end(`failed to make a GRPC request: ${failed}\n`);
    return;
  }
  const said =
    protocol === 'connect'
      ? { code, message }
      : { code: isBusy ? code : 'unknown', message: `pushing IngestInput-pprof failed ${failed}` };
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(said));
}

/** Returns the profile that a request uploads, as the server reads it; throws its faults. @returns {Upload} */
export function readUpload({ method, url: target, headers }, body) {
  const url = new URL(target, 'http://pyroscope');
  if (method !== 'POST') fail(`method ${method}`);
  if (body.length > MAX_UPLOAD_BYTES) fail(`${body.length} bytes`);
  const take = { '/ingest': ingest, '/push.v1.PusherService/Push': connect };
  const read = { ...take, '/v1development/profiles': otlp }[url.pathname];
  if (read === undefined) fail(`path ${url.pathname}`);
  const upload = read({ headers }, url, body);
  return { headers, query: url.searchParams, ...upload, kinds: kindsOf(upload) };
}

function ingest(req, url, body) {
  const query = url.searchParams;
  const { app, series } = parseIngestName(query.get('name') ?? '');
  const profile = decodePprof(body);
  const [from, until] = ['from', 'until'].map((name) => {
    const text = query.get(name);
    if (!/^\d{19}$/.test(text)) fail(`${name} ${text}`);
    return BigInt(text);
  });
  if (from !== profile.timeNanos || until !== from + profile.durationNanos) fail('from, until');
  if (query.get('spyName') !== 'nodespy') fail('spyName');
  if (query.get('format') !== 'pprof') fail('format');
  if (Number(query.get('sampleRate')) !== Math.round(1e9 / profile.period)) fail('sampleRate');
  if (req.headers['content-encoding'] !== undefined) fail('content-encoding is ignored here');
  return { protocol: 'ingest', app, series, profile };
}

function connect(req, url, body) {
  if (!/^application\/json\b/.test(req.headers['content-type'])) fail('content-type');
  const { series: all, ...others } = JSON.parse(
    new TextDecoder('utf-8', { fatal: true }).decode(body),
  );
  if (Object.keys(others).length > 0 || all.length !== 1) fail('not one series');
  const [{ labels, samples, ...unknown }] = all;
  if (Object.keys(unknown).length > 0 || samples.length !== 1) fail('not one sample');
  const names = labels.map(({ name }) => name);
  if (new Set(names).size !== names.length) fail(`a label twice: ${names}`);
  const { __name__, pyroscope_spy, ...series } = Object.fromEntries(
    labels.map(({ name, value }) => [name, value]),
  );
  if (__name__ === undefined || pyroscope_spy !== 'nodespy') fail(`__name__ ${__name__}`);
  const [{ ID, rawProfile }] = samples;
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(ID)) fail(`ID ${ID}`);
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(rawProfile)) fail('rawProfile is not base64');
  const profile = decodePprof(Buffer.from(rawProfile, 'base64'));
  return { protocol: 'connect', id: ID.replaceAll('-', ''), name: __name__, series, profile };
}

function otlp(req, url, body) {
  if (req.headers['content-type'] !== 'application/x-protobuf') fail('content-type');
  const gzipped = req.headers['content-encoding'] === 'gzip';
  const bytes = gzipped ? gunzipSync(body) : body;
  // The server's own pprof of it is larger, if anything.
  const profile = { ...decodeOtlp(bytes), bytes: bytes.length };
  const { pyroscope_spy, ...attributes } = profile.resource;
  if (pyroscope_spy !== 'nodespy') fail('pyroscope_spy');
  // The server makes these of names with dots.
  const series = Object.fromEntries(
    Object.entries(attributes).map(([name, value]) => [name.replaceAll('.', '_'), value]),
  );
  return { protocol: 'otlp', id: profile.id, series, profile };
}
