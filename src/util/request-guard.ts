/** Which HTTP requests are from a server's own pages and tools, and not from somebody else's page. */
import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';

const LOOPBACK_NAMES: readonly string[] = ['localhost', '127.0.0.1', '[::1]'];

/** Names in small letters, as in a Host header without its port: an IPv6 address in brackets. */
export type IsOwnName = (name: string) => boolean;

/** Whether a server that listens at `host` can be reached from this machine only. */
export function isLoopback(host: string): boolean {
  return /^(localhost|::1|(::ffff:)?127(\.\d+){3})$/i.test(host);
}

/**
 * The names of a server that listens at `host`: those of the loopback interface, `host`, `others`,
 * and, where it listens at other interfaces, any address in numbers. A name of somebody else's is
 * none, even if they point it here (DNS rebinding).
 */
export function ownNames(host: string, others: readonly string[] = []): IsOwnName {
  const names = new Set([...LOOPBACK_NAMES, ...[host, ...others].map(hostName)]);
  const takesNumbers = !isLoopback(host);
  return (name) => names.has(name) || (takesNumbers && isIP(name.replace(/^\[|\]$/g, '')) !== 0);
}

/** A host as `IsOwnName` takes it. */
export function hostName(host: string): string {
  return isIP(host) === 6 ? `[${host.toLowerCase()}]` : host.toLowerCase();
}

/**
 * Whether a request names a name of the server's own as its host, `port` if that is given, and
 * comes from a page of the same origin, from the address bar, or from no browser.
 */
export function isOwnRequest(
  { headers }: IncomingMessage,
  isOwnName: IsOwnName,
  port?: number,
): boolean {
  // HTTP/2 has a header of another name.
  const host = headers.host ?? (headers[':authority'] as string | undefined) ?? '';
  const [, name, givenPort = '80'] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(host) ?? [];
  if (name === undefined || (port !== undefined && Number(givenPort) !== port)) return false;
  if (!isOwnName(name.toLowerCase())) return false;
  if (headers.origin !== undefined && headers.origin !== `http://${host}`) return false;
  const site = headers['sec-fetch-site'];
  return site === undefined || site === 'same-origin' || site === 'none';
}
