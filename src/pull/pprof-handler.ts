/** Takes profiles on request: the handler of `GET /debug/pprof/profile`. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  checkNames,
  CPU_OPTION_NAMES,
  describe,
  integer,
  resolveCpuProfilerOptions,
  type CpuProfilerOptions,
} from '../options/options.js';
import { asOwnWork } from '../otel/run-untraced.js';
import { CpuProfiler } from '../profiler/cpu-profiler.js';
import { startTimer, stopTimer } from '../util/clock.js';
import { warnOnce } from '../util/diagnostics.js';
import { CPU_PROFILE, type ProfileType } from '../util/profile-types.js';
import { hostName, isOwnRequest } from '../util/request-guard.js';

/** Options of the handler. */
export interface PprofHandlerOptions extends CpuProfilerOptions {
  /** The longest profile that can be asked for, in seconds: 1 … 300. Default 300. */
  maxSeconds?: number | undefined;
  /** Profiles taken at once, 1 … 64; more requests get a 503. Default 8. */
  maxConcurrent?: number | undefined;
  /**
   * Host names and addresses, without a port, that the Host of a request may have: `app.internal`,
   * `10.0.0.7`. A request with another Host gets a 403, and so does one from another site's page:
   * no page in somebody's browser can read profiles by pointing its own name at this server (DNS
   * rebinding). 1 … 64. Default: any Host and any page; for `servePprof` on loopback, its own.
   */
  allowedHosts?: string[] | undefined;
}

/** A request listener for node:http, Express (`app.get`) and Fastify (`reply.raw`). */
export type PprofHandler = (req: IncomingMessage, res: ServerResponse) => void;

const MAX_SECONDS = 300;
/** The default of Go's handler too. */
const DEFAULT_SECONDS = 30;
export const HANDLER_OPTION_NAMES = [
  ...CPU_OPTION_NAMES,
  'maxSeconds',
  'maxConcurrent',
  'allowedHosts',
];
const MAX_ALLOWED_HOSTS = 64;
/** A name or an IPv4 address; `hostName` checks IPv6 addresses. */
const HOST = /^[a-z0-9_]([a-z0-9._-]{0,251}[a-z0-9_])?$|^\[[0-9a-f:.]{2,45}\]$/;

/**
 * Returns a handler that answers `GET …?seconds=N` (default 30) with a gzipped pprof profile of the
 * next N seconds; with 400 and the reason if N is wrong, with 503 if too many profiles are under
 * way. Each request has a window of its own, which is dropped if the client disconnects.
 *
 * Throws a TypeError or RangeError that names a wrong option.
 */
export function pprofHandler(options: PprofHandlerOptions = {}): PprofHandler {
  checkNames(options, HANDLER_OPTION_NAMES, () => false);
  const { allowedHosts, ...others } = options;
  if (allowedHosts === undefined) return handlerFor(CPU_PROFILE, others, () => true);
  const hosts = new Set(checkHosts(allowedHosts));
  return handlerFor(CPU_PROFILE, others, (req) => isOwnRequest(req, (name) => hosts.has(name)));
}

/** Returns a handler for profiles of `type` that answers the requests that `isAllowed` accepts. */
export function handlerFor(
  type: ProfileType,
  options: Omit<PprofHandlerOptions, 'allowedHosts'>,
  isAllowed: (req: IncomingMessage) => boolean,
): PprofHandler {
  const { maxSeconds, maxConcurrent, ...profilerOptions } = options;
  const limit = integer('maxSeconds', maxSeconds, MAX_SECONDS, 1, MAX_SECONDS);
  const concurrent = integer('maxConcurrent', maxConcurrent, 8, 1, 64);
  resolveCpuProfilerOptions(profilerOptions);
  const headers = headersOf(type);
  let underWay = 0;
  return (req, res) => {
    if (!isAllowed(req)) {
      refuse(res, 403, 'another host or origin; the option allowedHosts names more');
      return;
    }
    if (req.method !== 'GET' && req.method !== 'HEAD') {
      refuse(res, 405, 'only GET', { allow: 'GET, HEAD' });
      return;
    }
    const seconds = secondsOf(req.url ?? '', limit);
    if (typeof seconds === 'string') {
      refuse(res, 400, seconds);
      return;
    }
    if (req.method === 'HEAD') {
      res.writeHead(200, headers).end();
      return;
    }
    if (underWay >= concurrent) {
      const reason = `${String(concurrent)} profiles are being taken already`;
      refuse(res, 503, reason, { 'retry-after': String(seconds) });
      return;
    }
    underWay += 1;
    asOwnWork(() => {
      void sendProfile(res, seconds, profilerOptions, headers).finally(() => {
        underWay -= 1;
      });
    });
  };
}

function headersOf(type: ProfileType): Record<string, string> {
  return {
    'content-type': 'application/octet-stream',
    'content-disposition': `attachment; filename="${type.fileName}"`,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  };
}

/** Returns the hosts as in a Host header, in lower case. Throws a TypeError that names the option. */
export function checkHosts(value: unknown): string[] {
  const hosts: unknown[] = Array.isArray(value) ? value : [];
  if (hosts.length < 1 || hosts.length > MAX_ALLOWED_HOSTS) {
    throw new TypeError(
      `allowedHosts must be an array of 1 to ${String(MAX_ALLOWED_HOSTS)} host names`,
    );
  }
  return hosts.map((host) => {
    const name = typeof host === 'string' ? hostName(host) : '';
    if (HOST.test(name)) return name;
    throw new TypeError(
      `allowedHosts must be names or addresses without a port, got ${describe(host)}`,
    );
  });
}

/** Returns the number of seconds in the query, or the reason why it is wrong. */
function secondsOf(url: string, limit: number): number | string {
  const at = url.indexOf('?');
  const given = new URLSearchParams(at < 0 ? '' : url.slice(at + 1)).getAll('seconds');
  if (given.length === 0) return Math.min(DEFAULT_SECONDS, limit);
  const [text] = given as [string];
  const seconds = /^\d{1,9}$/.test(text) ? Number(text) : NaN;
  if (given.length === 1 && seconds >= 1 && seconds <= limit) return seconds;
  return `seconds must be one whole number from 1 to ${String(limit)}`;
}

async function sendProfile(
  res: ServerResponse,
  seconds: number,
  options: CpuProfilerOptions,
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  const profiler = new CpuProfiler(options);
  try {
    profiler.start();
  } catch (error) {
    refuse(res, 500, (error as Error).message);
    return;
  }
  try {
    const waited = await waitUnlessClosed(res, seconds * 1_000);
    const profile = await profiler.stop();
    if (!waited || res.destroyed) return;
    res.writeHead(200, { ...headers, 'content-length': profile.length }).end(profile);
  } catch (error) {
    warnOnce('pull', 'a profile could not be sent', error);
    if (!res.headersSent) refuse(res, 500, 'the profile could not be taken');
    else res.destroy();
  }
}

/** Waits; resolves to false at once if the client disconnects. */
function waitUnlessClosed(res: ServerResponse, ms: number): Promise<boolean> {
  return new Promise((resolve) => {
    if (res.destroyed || res.closed) {
      resolve(false);
      return;
    }
    const onClose = (): void => {
      stopTimer(timer);
      resolve(false);
    };
    const timer = startTimer(() => {
      res.off('close', onClose);
      resolve(true);
    }, ms);
    res.once('close', onClose);
  });
}

export function refuse(
  res: ServerResponse,
  status: number,
  reason: string,
  headers: Record<string, string> = {},
): void {
  res
    .writeHead(status, { 'content-type': 'text/plain; charset=utf-8', ...headers })
    .end(`${reason}\n`);
}
