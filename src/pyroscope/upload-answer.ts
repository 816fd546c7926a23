/** What a server's answer to an upload means (pure). */
import type { PyroscopeProtocol } from '../options/pyroscope.js';
import { decodeOtlpAnswer } from './protocols/otlp-encoder.js';

/** `cause` is short and stable, `reason` for people. */
export type Verdict =
  | { readonly kind: 'delivered' }
  | {
      readonly kind: 'retry';
      readonly cause: string;
      readonly reason: string;
      readonly afterMs: number;
      /** The server has said that it cannot take any profile now: it is not this one's fault. */
      readonly busy: boolean;
    }
  | { readonly kind: 'too-large'; readonly cause: string; readonly reason: string }
  | { readonly kind: 'refused'; readonly cause: string; readonly reason: string };

export interface Answer {
  readonly status: number;
  readonly retryAfter: string | null;
  readonly location: string | null;
  /** The beginning of the body. */
  readonly body: Uint8Array;
}

/** A server may not silence us for longer, in milliseconds. */
const MAX_RETRY_AFTER_MS = 300_000;
const MAX_REASON = 200;
/** gRPC codes of what passes by itself, and of what is wrong with the profile. */
const PASSING_CODES = ['unavailable', 'deadlineexceeded', 'resourceexhausted', 'aborted'];
const PROFILE_CODES = ['invalidargument', 'outofrange'];
/**
 * A gRPC code as Pyroscope's answers have it, from gRPC itself ("code = Unavailable desc = …"), as
 * the text or in the JSON of a Connect error ("unavailable: …", {"code":"unavailable"}).
 */
const CODE = /\bcode = (\w+)|"code": ?"(\w+)"|\b([a-z_]+): /g;
/** /ingest before Pyroscope 2.2 names no code where its rate limit is exceeded. */
const RATE_LIMIT = /push rate limit/i;
/** gRPC's own limit of a message, inside the server, which has the code of a rate limit. */
const MESSAGE_TOO_LARGE = /received message larger than max/;

export function judgeAnswer(answer: Answer, protocol: PyroscopeProtocol, now: number): Verdict {
  const { status } = answer;
  if (status >= 200 && status < 300) return delivered(answer, protocol);
  const text = new TextDecoder().decode(answer.body).trim().replace(/\s+/g, ' ');
  const said = text === '' ? '' : `: ${text.slice(0, MAX_REASON)}`;
  const cause = `HTTP ${String(status)}`;
  const reason = `the server answers ${cause}${said}`;
  if (status === 413 || MESSAGE_TOO_LARGE.test(text)) return { kind: 'too-large', cause, reason };
  if (status >= 300 && status < 400) {
    // Not followed: a POST would become a GET, and the credentials are for the configured server.
    const to = answer.location === null ? '' : ` to ${answer.location.slice(0, MAX_REASON)}`;
    return { kind: 'refused', cause, reason: `the server redirects${to}: see serverAddress` };
  }
  const code = codeOf(text);
  const busy = PASSING_CODES.includes(code) || status === 429 || status === 503;
  const mayPass = busy || status === 408 || status >= 500;
  if (!mayPass || PROFILE_CODES.includes(code)) return { kind: 'refused', cause, reason };
  return { kind: 'retry', cause, reason, afterMs: parseRetryAfter(answer.retryAfter, now), busy };
}

/**
 * The first code of those above that an answer names, in lower case and without `_`; '' where there
 * is none. The status alone does not tell: while the server starts, /ingest answers 422 and the
 * others 500, and OTLP answers 500 to everything that is wrong with a profile.
 */
function codeOf(text: string): string {
  if (RATE_LIMIT.test(text)) return 'resourceexhausted';
  for (const [, grpc, json, connect] of text.matchAll(CODE)) {
    const code = (grpc ?? json ?? connect ?? '').toLowerCase().replaceAll('_', '');
    if (PASSING_CODES.includes(code) || PROFILE_CODES.includes(code)) return code;
  }
  return '';
}

/** A server may take a request and still refuse the profile in it. */
function delivered(answer: Answer, protocol: PyroscopeProtocol): Verdict {
  if (protocol !== 'otlp') return { kind: 'delivered' };
  try {
    const { rejected, message } = decodeOtlpAnswer(answer.body);
    if (rejected > 0) {
      const reason = `the server rejects the profile: ${message.slice(0, MAX_REASON)}`;
      return { kind: 'refused', cause: 'partial success', reason };
    }
  } catch {
    // Not protobuf: a proxy's page, say. The status counts.
  }
  return { kind: 'delivered' };
}

/** Seconds or an HTTP date; 0 where there is none. */
function parseRetryAfter(value: string | null, now: number): number {
  if (value === null) return 0;
  const millis = /^\d+$/.test(value.trim()) ? Number(value) * 1_000 : Date.parse(value) - now;
  return Number.isNaN(millis) ? 0 : Math.min(Math.max(millis, 0), MAX_RETRY_AFTER_MS);
}
