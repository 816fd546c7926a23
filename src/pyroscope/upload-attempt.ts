/** One try to upload, by the global `fetch`: bounded in time and memory, and never holding the process. */
import { subscribe } from 'node:diagnostics_channel';
import { asOwnWork } from '../otel/run-untraced.js';
import type { Answer } from './upload-answer.js';
import { USER_AGENT, type UploadRequest } from './upload-request.js';

/**
 * How long a connection may take to come about, in milliseconds. Until then it holds the process,
 * which the rest of an upload does not.
 */
const CONNECT_MS = 4_000;
/** What is read of an answer, in bytes. */
const MAX_ANSWER_BYTES = 16_384;

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
  /** What is being connected for it, as far as is known. */
  readonly sockets: Set<Destroyable>;
}

interface Destroyable {
  destroy: () => void;
}

/** A try that failed before there was an answer. */
export class UploadFailure extends Error {
  /** Short and stable: `ECONNREFUSED`, `timeout`. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

const waiting = new Set<Waiting>();
/** Set while `fetch` creates a socket for it. */
let connecting: Waiting | undefined;
let subscribed = false;

/**
 * Sends the request, and resolves to the answer. Rejects with an UploadFailure: no connection, a
 * broken one, or no answer within `timeoutMs`; or with the reason of `signal`.
 */
export async function attemptUpload(
  request: UploadRequest,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<Answer> {
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

async function send(request: UploadRequest, signal: AbortSignal): Promise<Answer> {
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

/** The beginning of the body. Where it breaks off, the status has already said what counts. */
async function readBody(response: Response): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of response.body ?? []) {
      chunks.push(chunk as Uint8Array);
      size += (chunk as Uint8Array).length;
      // Leaving the loop cancels the rest.
      if (size >= MAX_ANSWER_BYTES) break;
    }
  } catch {
    // Truncated, or too slow: no reason for a second upload of the same profile.
  }
  return Buffer.concat(chunks).subarray(0, MAX_ANSWER_BYTES);
}

/** `fetch` says "fetch failed"; the causes below say why. */
function failureOf(error: unknown): UploadFailure {
  let cause = error as { code?: unknown; message?: unknown; cause?: unknown; errors?: unknown[] };
  for (let depth = 0; depth < 4; depth++) {
    const next = cause.cause ?? cause.errors?.[0];
    if (typeof next !== 'object' || next === null) break;
    cause = next;
  }
  const message = typeof cause.message === 'string' && cause.message !== '' ? cause.message : '';
  const code = typeof cause.code === 'string' ? cause.code : 'network';
  return new UploadFailure(code, message === '' ? code : message);
}

/**
 * An upload under way must not keep a process from ending that has nothing else to do: the last
 * window goes out at `beforeExit`, with a deadline. `fetch` has no way to say so, but tells its
 * subscribers the socket of each request. What is still being connected holds the process even so,
 * and `fetch` goes on with it for 10 s after it was aborted: such a socket is destroyed, where
 * Node.js tells which one it is (not that of https: on Node.js 20). The look-up of a name cannot be
 * ended at all.
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
  // Followed by the creation of the socket, before anything else can run.
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
