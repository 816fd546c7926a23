/** Separates HTTP requests of a server's own pages and of tools from those of foreign pages. */
import type { IncomingMessage } from 'node:http';
import { net } from './lazy-modules.js';

const LOOPBACK_NAMES: readonly string[] = ['localhost', '127.0.0.1', '[::1]'];

/** Takes a lower-case name as in a Host header without port, with an IPv6 address in brackets. */
export type IsOwnName = (name: string) => boolean;

/** Whether a server that listens at `host` can be reached from this machine only. */
export function isLoopback(host: string): boolean {
  return /^(localhost|::1|(::ffff:)?127(\.\d+){3})$/i.test(host);
}

/**
 * The names of a server that listens at `host`: those of the loopback interface, `host`, `others`,
 * and any IP address if it listens at other interfaces. Foreign names are not among them, even if
 * they resolve to this server (DNS rebinding).
 */
export function ownNames(host: string, others: readonly string[] = []): IsOwnName {
  const names = new Set([...LOOPBACK_NAMES, ...[host, ...others].map(hostName)]);
  const takesNumbers = !isLoopback(host);
  return (name) =>
    names.has(name) || (takesNumbers && net().isIP(name.replace(/^\[|\]$/g, '')) !== 0);
}

/** Returns a host as `IsOwnName` takes it. */
export function hostName(host: string): string {
  return net().isIP(host) === 6 ? `[${host.toLowerCase()}]` : host.toLowerCase();
}

/**
 * Whether the host of a request is a name of the server's own, with `port` if that is given, and
 * the request comes from a page of the same origin, from the address bar, or from no browser.
 */
export function isOwnRequest(
  { headers }: IncomingMessage,
  isOwnName: IsOwnName,
  port?: number,
): boolean {
  // HTTP/2 has `:authority` instead of Host.
  const host = headers.host ?? (headers[':authority'] as string | undefined) ?? '';
  const [, name, givenPort = '80'] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(host) ?? [];
  if (name === undefined || (port !== undefined && Number(givenPort) !== port)) return false;
  if (!isOwnName(name.toLowerCase())) return false;
  if (headers.origin !== undefined && headers.origin !== `http://${host}`) return false;
  const site = headers['sec-fetch-site'];
  return site === undefined || site === 'same-origin' || site === 'none';
}
