/** Serves the viewer's page and its data over HTTP, to the page itself only. */
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { http } from '../util/lazy-modules.js';
import { warn } from '../util/diagnostics.js';
import { hostName, isOwnRequest, ownNames } from '../util/request-guard.js';
import { dataFor, QueryError } from './api.js';
import type { ViewerSource } from './source.js';

/** Allows only our own files as scripts and styles: a name in a profile can only be text. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

const HEADERS = {
  'Content-Security-Policy': CONTENT_SECURITY_POLICY,
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'Cache-Control': 'no-store',
};

/** All files, by their path in the URL; built by scripts/build-viewer.mjs. */
const FILES = new Map([
  ['/', { file: 'index.html', type: 'text/html; charset=utf-8' }],
  ['/viewer.js', { file: 'viewer.js', type: 'text/javascript; charset=utf-8' }],
  ['/viewer.css', { file: 'viewer.css', type: 'text/css; charset=utf-8' }],
  ['/icon.svg', { file: 'icon.svg', type: 'image/svg+xml' }],
]);
const DIRECTORY = path.join(__dirname, '../viewer');

/**
 * Answers requests for the page (`/`) and its data (`/api/…`). Returns false for any other path,
 * which it leaves to the caller. Another server, such as that of `servePprof({ ui: true })`, calls
 * it first: `if (handle(request, response)) return;`, with `handle` of `startLiveViewer`.
 */
export type ViewerHandler = (request: IncomingMessage, response: ServerResponse) => boolean;

/**
 * Returns a handler for a server that listens at `host`. Requests with another port, or a host that
 * is not the server's own (`ownNames`), get a 403, and so do those of other sites' pages.
 */
export function viewerHandler(
  source: ViewerSource,
  host = '127.0.0.1',
  otherNames: readonly string[] = [],
): ViewerHandler {
  const isOwnName = ownNames(host, otherNames);
  return (request, response) => {
    const url = parseUrl(request.url);
    const file = url && FILES.get(url.pathname);
    const name = /^\/api\/([a-z]+)$/.exec(url?.pathname ?? '')?.[1];
    if (url === undefined || (file === undefined && name === undefined)) return false;
    if (!isOwnRequest(request, isOwnName, request.socket.localPort)) {
      send(response, 403, 'text/plain', 'Forbidden: another origin or host.\n');
    } else if (request.method !== 'GET' && request.method !== 'HEAD') {
      send(response, 405, 'text/plain', 'GET only.\n');
    } else if (file !== undefined) {
      void sendFile(response, file);
    } else {
      void sendData(response, source, name as string, url.searchParams);
    }
    return true;
  };
}

export interface ViewerOptions {
  /** Default 127.0.0.1. */
  host?: string;
  /** Default 0: a free port. */
  port?: number;
  /** Whether the server keeps the process alive. Default true. */
  keepAlive?: boolean;
}

/** Starts a server for the viewer only. Rejects if it cannot listen. */
export async function startViewer(
  source: ViewerSource,
  { host = '127.0.0.1', port = 0, keepAlive = true }: ViewerOptions = {},
): Promise<{ server: Server; url: string }> {
  const handle = viewerHandler(source, host);
  const server = http().createServer((request, response) => {
    if (!handle(request, response)) send(response, 404, 'text/plain', 'Not found.\n');
  });
  if (!keepAlive) {
    server.unref();
    server.on('connection', (socket) => socket.unref());
  }
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  const { port: bound } = server.address() as AddressInfo;
  return { server, url: `http://${hostName(host)}:${String(bound)}/` };
}

function parseUrl(text = '/'): URL | undefined {
  try {
    return new URL(text, 'http://viewer');
  } catch {
    return undefined;
  }
}

async function sendFile(
  response: ServerResponse,
  { file, type }: { file: string; type: string },
): Promise<void> {
  try {
    send(response, 200, type, await readFile(path.join(DIRECTORY, file)));
  } catch (error) {
    warn('the page of the viewer is missing; it is built by "npm run build:viewer"', error);
    send(response, 500, 'text/plain', 'The page is missing: npm run build:viewer\n');
  }
}

async function sendData(
  response: ServerResponse,
  source: ViewerSource,
  name: string,
  query: URLSearchParams,
): Promise<void> {
  try {
    const { title, live, version } = source;
    const found = await dataFor(await source.load(), name, query);
    if (found === undefined) {
      send(response, 404, 'text/plain', 'Not found.\n');
    } else {
      const body = JSON.stringify({ ...found, source: { title, live, version } });
      send(response, 200, 'application/json', body);
    }
  } catch (error) {
    if (error instanceof QueryError) {
      send(response, 400, 'text/plain', `${error.message}\n`);
      return;
    }
    warn('the viewer could not answer', error);
    send(response, 500, 'text/plain', 'The profile could not be read.\n');
  }
}

function send(
  response: ServerResponse,
  status: number,
  type: string,
  body: string | Uint8Array,
): void {
  // For HEAD node:http leaves the body out.
  response.writeHead(status, {
    ...HEADERS,
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
  });
  response.end(body);
}
