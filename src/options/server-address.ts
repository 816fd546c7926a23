/** The address of the server: its check, and the variables of OpenTelemetry's OTLP exporters. */
import type { Environment } from './environment.js';
import { readEnvironment } from './options.js';

/** Its value is the URL of an upload; to that of OTLP_ENDPOINT the protocol's path is added. */
const OTLP_PROFILES_ENDPOINT = 'OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT';
const OTLP_ENDPOINT = 'OTEL_EXPORTER_OTLP_ENDPOINT';

export interface Address {
  /** Without a trailing slash, user information, query and fragment. */
  readonly base: string;
  readonly user: string;
  readonly password: string;
  /** The whole URL of an upload, if a variable contains it. */
  readonly uploadUrl?: string;
}

/** Returns the address, or the default for undefined; throws a TypeError if it is no URL. */
export function checkAddress(value: unknown): Address {
  const given = value ?? 'http://localhost:4040';
  const url = typeof given === 'string' ? parseUrl(given) : undefined;
  // Without the value, which may contain a password.
  if (url === undefined) throw new TypeError('serverAddress must be an http: or https: URL');
  return addressOf(url);
}

function addressOf(url: URL): Address {
  return {
    base: `${url.origin}${url.pathname.replace(/\/+$/, '')}`,
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
  };
}

function parseUrl(text: string): URL | undefined {
  try {
    // "pyroscope:4040" is common: its host must not be taken for a scheme.
    const url = new URL(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`);
    decodeURIComponent(url.username + url.password); // Throws where addressOf() would.
    return url.protocol === 'http:' || url.protocol === 'https:' ? url : undefined;
  } catch {
    return undefined;
  }
}

/** Returns the address in the variables of OTLP exporters, else the default. */
export function readOtlpAddress(environment: Environment): Address {
  const read = (variable: string, example: string): URL | undefined => {
    const parse = (text: string): URL => {
      const url = parseUrl(text);
      if (url !== undefined) return url;
      throw new TypeError(`must be an http: or https: URL, such as ${example}`);
    };
    return environment.option(undefined, variable, parse, (url) => url as URL | undefined);
  };
  const endpoint = read(OTLP_PROFILES_ENDPOINT, 'http://collector:4318/v1development/profiles');
  if (endpoint !== undefined) {
    const uploadUrl = `${endpoint.origin}${endpoint.pathname}${endpoint.search}`;
    return { ...addressOf(endpoint), uploadUrl };
  }
  const base = read(OTLP_ENDPOINT, 'http://collector:4318');
  return base === undefined ? checkAddress(undefined) : addressOf(base);
}

/** Whether one of these variables is set. */
export function hasOtlpEndpoint(): boolean {
  return [OTLP_PROFILES_ENDPOINT, OTLP_ENDPOINT].some(
    (name) => readEnvironment(name) !== undefined,
  );
}
