/** What answers of a server mean: delivered, once more, too large, or refused. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { partialSuccess } from '../support/otlp-decode.mjs';

const require = createRequire(import.meta.url);
const { judgeAnswer } = require('../../lib/pyroscope/upload-answer.js');
const {
  MAX_QUEUED_BYTES,
  MAX_QUEUED_PROFILES,
  UploadQueue,
} = require('../../lib/pyroscope/upload-queue.js');

const NOW = Date.parse('2026-01-01T00:00:00Z');

function judge(
  status,
  { body = '', retryAfter = null, location = null, protocol = 'ingest' } = {},
) {
  const answer = { status, retryAfter, location, body: Buffer.from(body) };
  return judgeAnswer(answer, protocol, NOW);
}

describe('the answer to an upload', () => {
  it('is told by its status', () => {
    const kinds = { 200: 'delivered', 204: 'delivered', 413: 'too-large' };
    for (const status of [408, 429, 500, 501, 502, 503, 504, 599]) kinds[status] = 'retry';
    for (const status of [301, 307, 400, 401, 403, 404, 415, 422, 499]) kinds[status] = 'refused';
    for (const [status, kind] of Object.entries(kinds)) {
      assert.equal(judge(Number(status)).kind, kind, status);
    }
  });

  it('is tried again for a 422 that speaks of rate limits', () => {
    for (const body of ['push rate limit (4MB) exceeded', '{"code":"resource_exhausted"}']) {
      assert.equal(judge(422, { body }).kind, 'retry', body);
    }
    assert.equal(judge(422, { body: 'invalid label' }).kind, 'refused');
  });

  it('may say when to come again', () => {
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

  it('is repeated in the reason, in one line and not whole', () => {
    const { reason } = judge(400, { body: `no\n  good ${'x'.repeat(1_000)}` });
    assert.match(reason, /HTTP 400: no good x+$/);
    assert.ok(reason.length < 300);
    assert.match(judge(302, { location: 'http://b/' }).reason, /redirects to http:\/\/b\//);
  });

  it('may take an OTLP request and reject what is in it', () => {
    const body = partialSuccess(1, 'no room');
    assert.match(judge(200, { body, protocol: 'otlp' }).reason, /no room/);
    assert.equal(judge(200, { body, protocol: 'otlp' }).kind, 'refused');
    assert.equal(judge(200, { body: partialSuccess(0, 'hm'), protocol: 'otlp' }).kind, 'delivered');
    assert.equal(judge(200, { body: '<html>', protocol: 'otlp' }).kind, 'delivered');
    assert.equal(judge(200, { body, protocol: 'ingest' }).kind, 'delivered');
  });
});

describe('the queue of profiles', () => {
  const profile = (bytes = 1) => ({ gzipped: new Uint8Array(bytes), tries: 0, halvings: 0 });

  it('drops the oldest of more than 20, but not the one under way', () => {
    const queue = new UploadQueue();
    const profiles = Array.from({ length: MAX_QUEUED_PROFILES + 3 }, () => profile());
    const dropped = profiles.flatMap((each) => queue.add(each, profiles[0]));
    assert.deepEqual(dropped, profiles.slice(1, 4));
    assert.equal(queue.length, 20);
    assert.equal(queue.first, profiles[0]);
  });

  it('drops the oldest beyond 32 MiB', () => {
    const queue = new UploadQueue();
    const profiles = Array.from({ length: 5 }, () => profile(MAX_QUEUED_BYTES / 4));
    const dropped = profiles.flatMap((each) => queue.add(each));
    assert.deepEqual(dropped, profiles.slice(0, 1));
    queue.remove(profiles[1]);
    assert.deepEqual(queue.add(profile(MAX_QUEUED_BYTES / 4)), []);
  });

  it('puts parts in the place of a profile', () => {
    const queue = new UploadQueue();
    const [whole, next, ...parts] = [profile(8), profile(1), profile(4), profile(4)];
    queue.add(whole);
    queue.add(next);
    queue.replace(whole, parts);
    assert.deepEqual(queue.clear(), [...parts, next]);
    assert.equal(queue.length, 0);
  });
});
