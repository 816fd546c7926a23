/** What a server's answer to an upload means (pure). */
import type { PyroscopeProtocol } from '../options-pyroscope.js';
import { decodeOtlpAnswer } from './otlp.js';

/** `cause` is short and stable, `reason` for people. */
export type Verdict =
  | { readonly kind: 'delivered' }
  | {
      readonly kind: 'retry';
      readonly cause: string;
      readonly reason: string;
      readonly afterMs: number;
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
/** /ingest before Pyroscope 2.2 answers 422 to everything that is wrong, its own limits included. */
const RATE_LIMIT = /push rate limit|resource_exhausted/i;

export function judgeAnswer(answer: Answer, protocol: PyroscopeProtocol, now: number): Verdict {
  const { status } = answer;
  if (status >= 200 && status < 300) return delivered(answer, protocol);
  const text = new TextDecoder().decode(answer.body).trim().replace(/\s+/g, ' ');
  const said = text === '' ? '' : `: ${text.slice(0, MAX_REASON)}`;
  const cause = `HTTP ${String(status)}`;
  const reason = `the server answers ${cause}${said}`;
  if (
    status === 408 ||
    status === 429 ||
    status >= 500 ||
    (status === 422 && RATE_LIMIT.test(text))
  ) {
    return { kind: 'retry', cause, reason, afterMs: parseRetryAfter(answer.retryAfter, now) };
  }
  if (status === 413) return { kind: 'too-large', cause, reason };
  if (status >= 300 && status < 400) {
    // Not followed: a POST would become a GET, and the credentials are for the configured server.
    const to = answer.location === null ? '' : ` to ${answer.location.slice(0, MAX_REASON)}`;
    return { kind: 'refused', cause, reason: `the server redirects${to}: see serverAddress` };
  }
  return { kind: 'refused', cause, reason };
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
