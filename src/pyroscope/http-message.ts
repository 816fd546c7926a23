/** Writes HTTP/1.1 requests, and reads responses as far as they have arrived (pure). */
import type { UploadResponse } from './upload-response.js';

/** Bytes of the head of a response. */
const MAX_HEAD_BYTES = 65_536;
/** Bytes that are read of the body of a response. */
const MAX_BODY_BYTES = 16_384;
/** Headers that follow from how the request is sent. */
const OWN_HEADERS: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'transfer-encoding',
]);

/** Returns the head of a request. Headers that `requestHead` sets itself are left out. */
export function requestHead(
  line: string,
  host: string,
  headers: Readonly<Record<string, string>>,
  contentLength: number,
): Buffer {
  const all = new Map([
    ['host', host],
    ['accept', '*/*'],
  ]);
  for (const [name, value] of Object.entries(headers)) {
    if (!OWN_HEADERS.has(name.toLowerCase())) all.set(name.toLowerCase(), trimmed(value));
  }
  all.set('connection', 'close');
  all.set('content-length', String(contentLength));
  const lines = [...all].map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`${line} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1');
}

/** The options have checked the value; HTTP allows white space around it, line ends included. */
function trimmed(value: string): string {
  return value.replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, '');
}

interface Head {
  readonly status: number;
  /** By lower-case name; the first of several headers of one name. */
  readonly headers: ReadonlyMap<string, string>;
}

/** A response, while it arrives. */
export class ArrivingResponse {
  #head: Head | undefined;
  /** Bytes that are not parsed yet: of the head, then of the body. */
  #rest: Buffer = Buffer.alloc(0);
  #body: Buffer = Buffer.alloc(0);

  /**
   * Adds bytes. Returns whether the response is complete, or as much of it as is read. Throws an
   * Error if it is not HTTP.
   */
  add(bytes: Uint8Array): boolean {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    while (this.#head === undefined) {
      const end = this.#rest.indexOf('\r\n\r\n');
      if (end > MAX_HEAD_BYTES || (end < 0 && this.#rest.length > MAX_HEAD_BYTES)) {
        throw new Error('the head of the response is too long');
      }
      if (end < 0) return false;
      const head = parseHead(this.#rest.toString('latin1', 0, end));
      this.#rest = this.#rest.subarray(end + 4);
      // 1xx: the response itself follows.
      if (head.status >= 200) this.#head = head;
    }
    return this.#readBody(this.#head);
  }

  /** The response as far as it has arrived; undefined before its head has. */
  get response(): UploadResponse | undefined {
    if (this.#head === undefined) return undefined;
    const { status, headers } = this.#head;
    return {
      status,
      retryAfter: headers.get('retry-after') ?? null,
      location: headers.get('location') ?? null,
      body: this.#body.subarray(0, MAX_BODY_BYTES),
    };
  }

  #readBody({ status, headers }: Head): boolean {
    let isWhole: boolean;
    if (headers.get('transfer-encoding')?.toLowerCase().endsWith('chunked') === true) {
      ({ body: this.#body, isWhole } = joinChunks(this.#rest));
    } else {
      const length = Number(headers.get('content-length') ?? Infinity);
      this.#body = this.#rest;
      isWhole = this.#rest.length >= length;
    }
    return isWhole || status === 204 || status === 304 || this.#rest.length > 2 * MAX_BODY_BYTES;
  }
}

function parseHead(text: string): Head {
  const [statusLine = '', ...lines] = text.split('\r\n');
  const status = /^HTTP\/1\.\d (\d{3})(?: |$)/.exec(statusLine)?.[1];
  if (status === undefined) throw new Error('the response is not HTTP/1.1');
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [, name = '', value = ''] = /^([^:\s]+):\s*(.*?)\s*$/.exec(line) ?? [];
    if (!headers.has(name.toLowerCase())) headers.set(name.toLowerCase(), value);
  }
  return { status: Number(status), headers };
}

/** Returns what the chunks contain so far, and whether the last one is among them. */
function joinChunks(bytes: Buffer): { body: Buffer; isWhole: boolean } {
  const chunks: Buffer[] = [];
  let isWhole = false;
  for (let at = 0; !isWhole && at < bytes.length;) {
    const lineEnd = bytes.indexOf('\r\n', at);
    if (lineEnd < 0) break;
    const size = /^[0-9a-f]{1,8}(?=\s*(;|$))/i.exec(bytes.toString('latin1', at, lineEnd))?.[0];
    if (size === undefined) throw new Error('the body of the response has no valid chunks');
    const begin = lineEnd + 2;
    at = begin + parseInt(size, 16);
    chunks.push(bytes.subarray(begin, at));
    isWhole = begin === at;
    // The line end behind the chunk.
    at += 2;
  }
  return { body: Buffer.concat(chunks), isWhole };
}
