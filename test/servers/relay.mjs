/** Stands between an agent and a server: passes uploads on, and keeps what was in them and what became of them. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { complaintsAbout } from '../support/pyroscope-rules.mjs';
import { readUpload } from '../support/pyroscope-server.mjs';

/** Headers that describe an upload; the others are of the connection. */
const HEADERS = [
  ...['content-type', 'content-encoding', 'connect-protocol-version', 'user-agent'],
  ...['x-scope-orgid', 'authorization'],
];

export class Relay {
  /**
   * Uploads as the stand-in reads them, in the order of their answers, each with `status`: undefined
   * where the server gave none.
   */
  uploads = [];
  /** Errors that the stand-in finds in them. */
  complaints = [];
  #target;
  #server = createServer((req, res) => void this.#pass(req, res));

  static async start(target) {
    const relay = new Relay();
    relay.#target = target;
    relay.#server.listen(0, '127.0.0.1');
    await once(relay.#server, 'listening');
    return relay;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}`;
  }

  /** Those that the server has taken. */
  get taken() {
    return this.uploads.filter(({ status }) => status >= 200 && status < 300);
  }

  /** Tries that the server has not taken, or not answered. */
  get failed() {
    return this.uploads.length - this.taken.length;
  }

  async #pass(req, res) {
    const chunks = [];
    for await (const chunk of req) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const upload = { ...this.#read(req, body), status: undefined, answer: '' };
    try {
      const names = HEADERS.filter((name) => req.headers[name] !== undefined);
      const headers = Object.fromEntries(names.map((name) => [name, req.headers[name]]));
      const response = await fetch(this.#target + req.url, { method: req.method, headers, body });
      const answer = Buffer.from(await response.arrayBuffer());
      Object.assign(upload, { status: response.status, answer: answer.toString() });
      res.writeHead(response.status, {
        'content-type': response.headers.get('content-type') ?? '',
      });
      res.end(answer);
    } catch {
      // As the server itself would: the connection ends without a response.
      res.destroy();
    }
    this.uploads.push(upload);
  }

  #read(req, body) {
    try {
      const upload = readUpload(req, body);
      const options = { otlp: upload.protocol === 'otlp' };
      this.complaints.push(...complaintsAbout(upload.profile, upload.series, options));
      return upload;
    } catch (error) {
      this.complaints.push(String(error));
      return {};
    }
  }

  async close() {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }
}
