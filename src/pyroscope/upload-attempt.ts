/** Tries an upload once, by the global `fetch`, within limits of time and memory; does not keep the process alive. */
import { subscribe } from 'node:diagnostics_channel';
import { asOwnWork } from '../otel/run-untraced.js';
import type { UploadResponse } from './upload-response.js';
import { USER_AGENT, type UploadRequest } from './upload-request.js';

/**
 * Time limit of connecting, in milliseconds. Connecting keeps the process alive; the rest of an
 * upload does not.
 */
const CONNECT_MS = 4_000;
/** Bytes that are read of a response. */
const MAX_RESPONSE_BYTES = 16_384;
/** OpenSSL's errors where the response to its greeting is plain text. */
const NO_TLS_CODES = ['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG'];

interface SentHeaders {
  headers?: unknown;
  request?: { origin?: unknown };
  socket?: { unref?: () => void };
}

interface Connecting {
  connectParams?: { protocol?: unknown; host?: unknown };
}

/** An upload that has no connection yet. */
interface Waiting {
  readonly origin: string;
  readonly connected: () => void;
  /** Sockets being connected for it, as far as Node.js reports them. */
  readonly sockets: Set<Destroyable>;
}

interface Destroyable {
  destroy: () => void;
}

/** Error of a try without a response. */
export class UploadFailure extends Error {
  /** Short and stable: `ECONNREFUSED`, `timeout`. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

const waiting = new Set<Waiting>();
/** The upload that `fetch` creates a socket for at this moment. */
let connecting: Waiting | undefined;
let subscribed = false;

/**
 * Sends the request, and resolves to the response. Rejects with an UploadFailure if there is no
 * connection, it breaks, there is no response within `timeoutMs`, or `signal` is aborted.
 */
export async function attemptUpload(
  request: UploadRequest,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<UploadResponse> {
  watchSockets();
  const controller = new AbortController();
  const abort = (): void => {
    controller.abort(new UploadFailure('stopped', 'the upload was broken off'));
  };
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  const limit = (ms: number, message: string): NodeJS.Timeout =>
    setTimeout(() => {
      controller.abort(new UploadFailure('timeout', message));
    }, ms).unref();
  const timer = limit(timeoutMs, `no answer within ${String(timeoutMs)} ms`);
  const connectTimer = limit(CONNECT_MS, `no connection within ${String(CONNECT_MS)} ms`);
  const upload: Waiting = {
    origin: new URL(request.url).origin,
    connected: () => {
      clearTimeout(connectTimer);
      upload.sockets.clear();
    },
    sockets: new Set(),
  };
  waiting.add(upload);
  try {
    return await asOwnWork(() => send(request, controller.signal));
  } catch (error) {
    if (controller.signal.aborted) throw controller.signal.reason;
    throw failureOf(error);
  } finally {
    clearTimeout(timer);
    clearTimeout(connectTimer);
    waiting.delete(upload);
    for (const socket of upload.sockets) socket.destroy();
    signal.removeEventListener('abort', abort);
  }
}

async function send(request: UploadRequest, signal: AbortSignal): Promise<UploadResponse> {
  const response = await fetch(request.url, {
    method: 'POST',
    headers: request.headers,
    body: request.body as Uint8Array<ArrayBuffer>,
    redirect: 'manual',
    signal,
  });
  return {
    status: response.status,
    retryAfter: response.headers.get('retry-after'),
    location: response.headers.get('location'),
    body: await readBody(response),
  };
}

/** Reads the beginning of the body. A body that breaks off is no error: the status is enough. */
async function readBody(response: Response): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of response.body ?? []) {
      chunks.push(chunk as Uint8Array);
      size += (chunk as Uint8Array).length;
      // Leaving the loop cancels the rest.
      if (size >= MAX_RESPONSE_BYTES) break;
    }
  } catch {
    // Truncated or too slow: no reason to upload the same profile again.
  }
  return Buffer.concat(chunks).subarray(0, MAX_RESPONSE_BYTES);
}

/** Takes code and message from the innermost cause: `fetch` itself reports only "fetch failed". */
function failureOf(error: unknown): UploadFailure {
  let cause = error as { code?: unknown; message?: unknown; cause?: unknown; errors?: unknown[] };
  for (let depth = 0; depth < 4; depth++) {
    const next = cause.cause ?? cause.errors?.[0];
    if (typeof next !== 'object' || next === null) break;
    cause = next;
  }
  const message = typeof cause.message === 'string' && cause.message !== '' ? cause.message : '';
  const code = typeof cause.code === 'string' ? cause.code : 'network';
  if (NO_TLS_CODES.includes(code)) {
    return new UploadFailure(
      code,
      'the server speaks no TLS: serverAddress must begin with http://',
    );
  }
  return new UploadFailure(code, message === '' ? code : message);
}

/**
 * Keeps uploads from holding a process that has nothing else to do: the last window is uploaded at
 * `beforeExit`, with a deadline. `fetch` has no option for this, but publishes the socket of each
 * request, which is unreferenced. A socket that is still connecting holds the process even so, and
 * `fetch` continues for 10 s after an abort: it is destroyed where Node.js publishes it (not that of
 * https: on Node.js 20). A DNS lookup cannot be ended at all.
 */
function watchSockets(): void {
  if (subscribed) return;
  subscribed = true;
  subscribe('undici:client:sendHeaders', (message) => {
    const { headers, request, socket } = message as SentHeaders;
    if (!String(headers).includes(USER_AGENT)) return;
    socket?.unref?.();
    for (const upload of waiting) {
      if (upload.origin === String(request?.origin)) upload.connected();
    }
  });
  // The socket is created right after this event, before anything else can run.
  subscribe('undici:client:beforeConnect', (message) => {
    const { protocol, host } = (message as Connecting).connectParams ?? {};
    const origin = `${String(protocol)}//${String(host)}`;
    connecting = [...waiting].find((upload) => upload.origin === origin);
    queueMicrotask(() => (connecting = undefined));
  });
  subscribe('net.client.socket', (message) => {
    connecting?.sockets.add((message as { socket: Destroyable }).socket);
  });
}
