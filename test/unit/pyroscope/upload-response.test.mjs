/** Checks the verdicts on a server's responses: delivered, retry, too large, or refused. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { partialSuccess } from '../../support/otlp-decode.mjs';

const require = createRequire(import.meta.url);
const { judgeResponse } = require('../../../lib/pyroscope/upload-response.js');
const {
  MAX_AGE_MS,
  MAX_QUEUED_BYTES,
  UploadQueue,
} = require('../../../lib/pyroscope/upload-queue.js');

const NOW = Date.parse('2026-01-01T00:00:00Z');

function judge(
  status,
  { body = '', retryAfter = null, location = null, protocol = 'ingest' } = {},
) {
  const answer = { status, retryAfter, location, body: Buffer.from(body) };
  return judgeResponse(answer, protocol, NOW);
}

describe('the response to an upload', () => {
  it('is judged by its status', () => {
    const kinds = { 200: 'delivered', 204: 'delivered', 413: 'too-large' };
    for (const status of [408, 429, 500, 501, 502, 503, 504, 599]) kinds[status] = 'retry';
    for (const status of [301, 307, 400, 401, 403, 404, 415, 422, 499]) kinds[status] = 'refused';
    for (const [status, kind] of Object.entries(kinds)) {
      assert.equal(judge(Number(status)).kind, kind, status);
    }
  });

  it('is judged by the gRPC code in its text, whatever the status', () => {
    const passing = [
      'pushing IngestInput-pprof failed push series with index 0 and id failed: unknown: rpc error: code = Unavailable desc = service is unavailable',
      '{"code":"unknown","message":"rpc error: code = DeadlineExceeded desc = context deadline exceeded"}',
      'rpc error: code = Aborted desc = shard is moving',
      'failed to make a GRPC request: resource_exhausted: over the limit',
      '{"code": "unavailable", "message": "later"}',
      'push rate limit (4MB) exceeded',
    ];
    for (const body of passing) {
      for (const status of [400, 422, 500]) {
        const { kind, busy } = judge(status, { body });
        assert.deepEqual({ kind, busy }, { kind: 'retry', busy: true }, `${status} ${body}`);
      }
    }
    const wrong = [
      'failed to make a GRPC request: invalid_argument: profile with labels {a="code = Unavailable"} is outside of ingestion window',
      '{"code":"invalid_argument","message":"profile series has 31 label names; limit 30"}',
      'rpc error: code = OutOfRange desc = profile is too old',
    ];
    for (const body of wrong) {
      for (const status of [400, 422, 500]) assert.equal(judge(status, { body }).kind, 'refused');
    }
    assert.equal(judge(422, { body: 'profile with labels x: invalid label' }).kind, 'refused');
    const message =
      'code = ResourceExhausted desc = grpc: received message larger than max (9 vs. 4)';
    assert.equal(judge(500, { body: message }).kind, 'too-large');
  });

  it('is not held against the profile if the server is busy', () => {
    for (const status of [429, 503]) assert.equal(judge(status).busy, true, status);
    for (const status of [408, 500, 502, 504]) assert.equal(judge(status).busy, false, status);
  });

  it('may have the time of the next try', () => {
    const cases = [
      ['7', 7_000],
      ['Thu, 01 Jan 2026 00:00:30 GMT', 30_000],
      ['Wed, 31 Dec 2025 00:00:30 GMT', 0],
      ['99999999', 300_000],
      ['soon', 0],
      [null, 0],
    ];
    for (const [retryAfter, afterMs] of cases) {
      assert.equal(judge(429, { retryAfter }).afterMs, afterMs, retryAfter);
    }
  });

  it('is quoted in the reason, on one line and shortened', () => {
    const { reason } = judge(400, { body: `no\n  good ${'x'.repeat(1_000)}` });
    assert.match(reason, /HTTP 400: no good x+$/);
    assert.ok(reason.length < 300);
    assert.match(judge(302, { location: 'http://b/' }).reason, /redirects to http:\/\/b\//);
  });

  it('is no delivery if it is a page for people', () => {
    for (const body of ['<!DOCTYPE html><title>Sign in</title>', '\n<html lang="en">']) {
      for (const protocol of ['ingest', 'connect', 'otlp']) {
        const { kind, reason } = judge(200, { body, protocol });
        assert.equal(kind, 'refused');
        assert.match(reason, /HTML page.*serverAddress/);
      }
    }
    assert.equal(judge(200, { body: '{"a":"<html>"}', protocol: 'connect' }).kind, 'delivered');
  });

  it('may accept an OTLP request and reject its profile', () => {
    const body = partialSuccess(1, 'no room');
    assert.match(judge(200, { body, protocol: 'otlp' }).reason, /no room/);
    assert.equal(judge(200, { body, protocol: 'otlp' }).kind, 'refused');
    assert.equal(judge(200, { body: partialSuccess(0, 'hm'), protocol: 'otlp' }).kind, 'delivered');
    assert.equal(judge(200, { body: 'no protobuf', protocol: 'otlp' }).kind, 'delivered');
    assert.equal(judge(200, { body, protocol: 'ingest' }).kind, 'delivered');
  });
});

describe('the queue of profiles', () => {
  const profile = (bytes = 1, startMs = NOW) => ({
    gzipped: new Uint8Array(bytes),
    summary: { startNanos: BigInt(startMs) * 1_000_000n },
  });
  /** The profiles that were added, of those that the queue has made of them. */
  const added = (queued) => queued.map(({ gzipped }) => gzipped);

  it('drops the oldest beyond 32 MiB, but not the one under way', () => {
    const queue = new UploadQueue();
    const profiles = Array.from({ length: 6 }, () => profile(MAX_QUEUED_BYTES / 4));
    const [first, second] = profiles;
    queue.add(first);
    const held = queue.next;
    const dropped = profiles.slice(1).flatMap((each) => queue.add(each, held));
    assert.deepEqual(added(dropped), added([second, profiles[2]]));
    assert.equal(queue.next, held);
    queue.remove(held);
    assert.deepEqual(queue.add(profile(MAX_QUEUED_BYTES / 4)), []);
  });

  it('drops profiles that began more than an hour ago', () => {
    const queue = new UploadQueue();
    const old = profile(1, NOW - MAX_AGE_MS - 1);
    const young = profile(1, NOW - MAX_AGE_MS);
    queue.add(old);
    queue.add(young);
    assert.deepEqual(added(queue.removeAged(NOW)), added([old]));
    assert.deepEqual(added(queue.clear()), added([young]));
    assert.equal(MAX_AGE_MS, 3_600_000);
  });

  it('returns the profile with the fewest tries next, the oldest of several', () => {
    const queue = new UploadQueue();
    const profiles = [profile(), profile(), profile()];
    for (const each of profiles) queue.add(each);
    const order = Array.from({ length: 4 }, () => {
      const { next } = queue;
      next.tries += 1;
      return next;
    });
    assert.deepEqual(added(order), added([...profiles, profiles[0]]));
    const newest = profile();
    queue.add(newest);
    assert.equal(queue.next.gzipped, newest.gzipped);
  });

  it('replaces a profile by its parts, unless it was dropped', () => {
    const queue = new UploadQueue();
    const [whole, next, ...parts] = [profile(8), profile(1), profile(4), profile(4)];
    queue.add(whole);
    const queued = queue.next;
    queue.add(next);
    queue.replace(queued, parts);
    queue.replace(queued, parts);
    const all = queue.clear();
    assert.deepEqual(added(all), added([...parts, next]));
    assert.deepEqual(
      all.map(({ halvings }) => halvings),
      [1, 1, 0],
    );
    assert.equal(queue.length, 0);
  });
});
