/**
 * Tries an upload once, within limits of time and memory; does not keep the process alive. It uses
 * sockets, because what the application observes (`fetch`, `node:http`, resource timing,
 * instrumentations of both) must not contain the profiler's own requests.
 */
import type { Socket } from 'node:net';
import { proxyFor } from '../options/proxy.js';
import { asOwnWork } from '../otel/run-untraced.js';
import { startDeadline } from '../util/clock.js';
import { net, tls } from '../util/lazy-modules.js';
import { ArrivingResponse, requestHead } from './http-message.js';
import type { UploadResponse } from './upload-response.js';
import type { UploadRequest } from './upload-request.js';

/**
 * Time limit of connecting, in milliseconds. Connecting keeps the process alive; the rest of an
 * upload does not.
 */
const CONNECT_MS = 4_000;
/** OpenSSL's errors where the response to its greeting is plain text. */
const NO_TLS_CODES = ['ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG'];

/** Error of a try without a response. */
export class UploadFailure extends Error {
  /** Short and stable: `ECONNREFUSED`, `timeout`. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/**
 * Sends the request, and resolves to the response. Rejects with an UploadFailure if there is no
 * connection, it breaks, there is no response within `timeoutMs`, or `signal` is aborted.
 */
export async function attemptUpload(
  request: UploadRequest,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<UploadResponse> {
  const attempt = new Attempt();
  const abort = (): void => {
    attempt.fail(new UploadFailure('stopped', 'the upload was broken off'));
  };
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  const stopTimeout = startDeadline(
    () => {
      attempt.fail(new UploadFailure('timeout', `no answer within ${String(timeoutMs)} ms`));
    },
    timeoutMs,
    { keepsAlive: false },
  );
  try {
    return await asOwnWork(() => attempt.run(request));
  } finally {
    stopTimeout();
    signal.removeEventListener('abort', abort);
    attempt.close();
  }
}

/** The connection of one try: a socket, with a proxy or TLS one over the other. */
class Attempt {
  readonly #sockets: Socket[] = [];
  #arriving = new ArrivingResponse();
  #isClosed = false;
  #fail: ((failure: UploadFailure) => void) | undefined;
  #failure: UploadFailure | undefined;

  /** Ends the try; what has arrived of a response is enough if it contains the status. */
  fail(failure: UploadFailure): void {
    this.#failure ??= failure;
    this.#fail?.(this.#failure);
  }

  close(): void {
    this.#isClosed = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  async run(request: UploadRequest): Promise<UploadResponse> {
    const url = new URL(request.url);
    const proxy = proxyFor(url);
    const stopConnectTimeout = startDeadline(
      () => {
        this.fail(new UploadFailure('timeout', `no connection within ${String(CONNECT_MS)} ms`));
      },
      CONNECT_MS,
      { keepsAlive: false },
    );
    let socket: Socket;
    try {
      socket = await this.#connect(proxy ?? url);
      if (proxy !== undefined && url.protocol === 'https:') {
        socket = await this.#tunnel(socket, url, proxy);
      }
    } finally {
      stopConnectTimeout();
    }
    const isForwarded = proxy !== undefined && url.protocol === 'http:';
    const path = `${url.pathname}${url.search}`;
    const head = requestHead(
      `POST ${isForwarded ? url.origin : ''}${path}`,
      url.host,
      { ...request.headers, ...(isForwarded ? authorizationFor(proxy) : {}) },
      request.body.length,
    );
    return this.#exchange(socket, head, request.body);
  }

  /** Opens a connection, with TLS for https:. */
  async #connect(url: URL): Promise<Socket> {
    const isSecure = url.protocol === 'https:';
    const port = url.port === '' ? (isSecure ? 443 : 80) : Number(url.port);
    const socket = net().connect({ host: hostOf(url), port });
    await this.#ready(socket, 'connect');
    return isSecure ? this.#secure(socket, url) : socket;
  }

  async #secure(socket: Socket, url: URL): Promise<Socket> {
    const host = hostOf(url);
    const servername = net().isIP(host) === 0 ? host : '';
    const secure = tls().connect({ socket, host, servername, ALPNProtocols: ['http/1.1'] });
    await this.#ready(secure, 'secureConnect');
    return secure;
  }

  /** Connects to the server of `url` through an HTTP proxy. */
  async #tunnel(socket: Socket, url: URL, proxy: URL): Promise<Socket> {
    const target = `${url.hostname}:${url.port === '' ? '443' : url.port}`;
    const head = requestHead(`CONNECT ${target}`, target, authorizationFor(proxy), 0);
    const { status } = await this.#exchange(socket, head);
    if (status !== 200) {
      throw new UploadFailure('proxy', `the proxy answers HTTP ${String(status)}`);
    }
    this.#arriving = new ArrivingResponse();
    return this.#secure(socket, url);
  }

  /** Resolves when the socket is ready to be used; it does not keep the process alive then. */
  async #ready(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
    await this.#until(socket, (resolve) => {
      this.#sockets.push(socket);
      if (this.#isClosed) socket.destroy();
      socket.once(event, resolve);
    });
    socket.unref();
  }

  #exchange(socket: Socket, head: Uint8Array, body?: Uint8Array): Promise<UploadResponse> {
    const isTunnel = body === undefined;
    return this.#until(socket, (resolve, reject) => {
      const onData = (bytes: Uint8Array): void => {
        try {
          const isWhole = this.#arriving.add(bytes);
          const { response } = this.#arriving;
          if (response === undefined || !(isWhole || isTunnel)) return;
          // In a tunnel, the server speaks only after the client.
          socket.off('data', onData);
          resolve(response);
        } catch (error) {
          reject(new UploadFailure('malformed', (error as Error).message));
        }
      };
      socket.on('data', onData);
      socket.cork();
      socket.write(head);
      if (!isTunnel) socket.write(body);
      socket.uncork();
    });
  }

  /** Calls `start`; rejects if the socket breaks before it resolves, or the try fails. */
  #until<T>(
    socket: Socket,
    start: (resolve: (value: T) => void, reject: (failure: UploadFailure) => void) => void,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const end = (failure: UploadFailure): void => {
        const { response } = this.#arriving;
        if (response === undefined) reject(failure);
        else resolve(response as T);
      };
      this.#fail = end;
      // Stays: an error after the end of the try must not reach the process.
      socket.on('error', (error) => {
        end(failureOf(error));
      });
      socket.on('close', () => {
        end(new UploadFailure('closed', 'the server closed the connection without an answer'));
      });
      start(resolve, end);
      if (this.#failure !== undefined) end(this.#failure);
    });
  }
}

/** Returns the host without the brackets of an IPv6 address. */
function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

function authorizationFor({ username, password }: URL): Record<string, string> {
  if (username === '' && password === '') return {};
  const user = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return { 'proxy-authorization': `Basic ${Buffer.from(user).toString('base64')}` };
}

/** Takes code and message from the innermost cause: a name may have several addresses. */
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
