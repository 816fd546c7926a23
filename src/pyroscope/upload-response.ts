/** Decides from a server's response whether an upload is delivered, retried or refused (pure). */
import type { PyroscopeProtocol } from '../options/pyroscope.js';
import { decodeOtlpResponse } from './protocols/otlp-encoder.js';

/** `cause` is short and stable, `reason` is a text for people. */
export type Verdict =
  | { readonly kind: 'delivered' }
  | {
      readonly kind: 'retry';
      readonly cause: string;
      readonly reason: string;
      readonly afterMs: number;
      /** Whether the server accepts no profile now, so that this one is not the reason. */
      readonly busy: boolean;
    }
  | { readonly kind: 'too-large'; readonly cause: string; readonly reason: string }
  | { readonly kind: 'refused'; readonly cause: string; readonly reason: string };

export interface UploadResponse {
  readonly status: number;
  readonly retryAfter: string | null;
  readonly location: string | null;
  /** The beginning of the body. */
  readonly body: Uint8Array;
}

/** Longest Retry-After that is obeyed, in milliseconds. */
const MAX_RETRY_AFTER_MS = 300_000;
const MAX_REASON = 200;
/** gRPC codes of temporary errors, and of errors in the profile. */
const PASSING_CODES = ['unavailable', 'deadlineexceeded', 'resourceexhausted', 'aborted'];
const PROFILE_CODES = ['invalidargument', 'outofrange'];
/**
 * Finds a gRPC code in a response of Pyroscope: from gRPC itself ("code = Unavailable desc = …"), or
 * in the text or JSON of a Connect error ("unavailable: …", {"code":"unavailable"}).
 */
const CODE = /\bcode = (\w+)|"code": ?"(\w+)"|\b([a-z_]+): /g;
/** Without a code: /ingest before Pyroscope 2.2, where its rate limit is exceeded. */
const RATE_LIMIT = /push rate limit/i;
/** A page for people, as a login or another server's start page. */
const HTML = /^<(!doctype html|html)\b/i;
const PAGE: Verdict = {
  kind: 'refused',
  cause: 'HTML',
  reason: 'the server answers with an HTML page, as Pyroscope does not: see serverAddress',
};
/** gRPC's own limit of a message, inside the server; its code is that of a rate limit. */
const MESSAGE_TOO_LARGE = /received message larger than max/;

export function judgeResponse(
  response: UploadResponse,
  protocol: PyroscopeProtocol,
  now: number,
): Verdict {
  const { status } = response;
  const text = new TextDecoder().decode(response.body).trim().replace(/\s+/g, ' ');
  if (status >= 200 && status < 300) {
    return HTML.test(text) ? PAGE : delivered(response, protocol);
  }
  const quoted = text === '' ? '' : `: ${text.slice(0, MAX_REASON)}`;
  const cause = `HTTP ${String(status)}`;
  const reason = `the server answers ${cause}${quoted}`;
  if (status === 413 || MESSAGE_TOO_LARGE.test(text)) return { kind: 'too-large', cause, reason };
  if (status >= 300 && status < 400) {
    // Redirects are not followed: a POST would become a GET, and the credentials are for the
    // configured server.
    const to = response.location === null ? '' : ` to ${response.location.slice(0, MAX_REASON)}`;
    return { kind: 'refused', cause, reason: `the server redirects${to}: see serverAddress` };
  }
  const code = codeOf(text);
  const busy = PASSING_CODES.includes(code) || status === 429 || status === 503;
  const mayPass = busy || status === 408 || status >= 500;
  if (!mayPass || PROFILE_CODES.includes(code)) return { kind: 'refused', cause, reason };
  return { kind: 'retry', cause, reason, afterMs: parseRetryAfter(response.retryAfter, now), busy };
}

/**
 * Returns the first code of those above in the text, in lower case and without `_`, or ''. The
 * status alone is not enough: while the server starts, /ingest responds with 422 and the others
 * with 500, and OTLP responds with 500 to all errors in a profile.
 */
function codeOf(text: string): string {
  if (RATE_LIMIT.test(text)) return 'resourceexhausted';
  for (const [, grpc, json, connect] of text.matchAll(CODE)) {
    const code = (grpc ?? json ?? connect ?? '').toLowerCase().replaceAll('_', '');
    if (PASSING_CODES.includes(code) || PROFILE_CODES.includes(code)) return code;
  }
  return '';
}

/** An OTLP server may accept a request and still reject the profile in it. */
function delivered(response: UploadResponse, protocol: PyroscopeProtocol): Verdict {
  if (protocol !== 'otlp') return { kind: 'delivered' };
  try {
    const { rejected, message } = decodeOtlpResponse(response.body);
    if (rejected > 0) {
      const reason = `the server rejects the profile: ${message.slice(0, MAX_REASON)}`;
      return { kind: 'refused', cause: 'partial success', reason };
    }
  } catch {
    // Not protobuf: the status decides.
  }
  return { kind: 'delivered' };
}

/** Returns milliseconds for a number of seconds or an HTTP date, or 0. */
function parseRetryAfter(value: string | null, now: number): number {
  if (value === null) return 0;
  const millis = /^\d+$/.test(value.trim()) ? Number(value) * 1_000 : Date.parse(value) - now;
  return Number.isNaN(millis) ? 0 : Math.min(Math.max(millis, 0), MAX_RETRY_AFTER_MS);
}
