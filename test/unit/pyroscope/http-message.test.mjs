/** HTTP/1.1 messages of uploads: heads of requests, and responses that arrive in any pieces. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const { ArrivingResponse, requestHead } = require('../../../lib/pyroscope/http-message.js');

/** Adds the text in pieces of `size` bytes; returns the response, and whether it was complete. */
function arrive(text, size) {
  const arriving = new ArrivingResponse();
  const bytes = Buffer.from(text, 'latin1');
  for (let at = 0; at < bytes.length; at += size) {
    if (arriving.add(bytes.subarray(at, at + size))) return { ...arriving.response, isWhole: true };
  }
  return { ...arriving.response, isWhole: false };
}

const responses = {
  'with a length': ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello', 200, 'hello', true],
  'without a length, to the end of the connection': ['HTTP/1.0 500 \r\n\r\nhel', 500, 'hel', false],
  'in chunks': [
    'HTTP/1.1 429\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nhel\r\n002\r\nlo\r\n0\r\n\r\n',
    429,
    'hello',
    true,
  ],
  'whose chunks break off': [
    'HTTP/1.1 400 No\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel',
    400,
    'hel',
    false,
  ],
  'after others of status 1xx': [
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n',
    204,
    '',
    true,
  ],
};

describe('a response to an upload', () => {
  for (const [what, [text, status, body, isWhole]] of Object.entries(responses)) {
    it(`is read ${what}, in pieces of any size`, () => {
      for (const size of [1, 2, 7, text.length]) {
        const response = arrive(text, size);
        assert.equal(response.status, status);
        assert.equal(Buffer.from(response.body).toString(), body);
        assert.equal(response.isWhole, isWhole, `${size}`);
      }
    });
  }

  it('has the headers that decide about the next try', () => {
    const text = 'HTTP/1.1 503 x\r\nretry-AFTER:  7 \r\nLocation: /a:b\r\nRetry-After: 9\r\n\r\n';
    const { retryAfter, location } = arrive(text, 5);
    assert.deepEqual([retryAfter, location], ['7', '/a:b']);
    const others = arrive('HTTP/1.1 503 x\r\n\r\n', 5);
    assert.deepEqual([others.retryAfter, others.location], [null, null]);
  });

  it('is read up to 16 KiB of its body, however long it is', () => {
    const { body, isWhole } = arrive(`HTTP/1.1 500 x\r\n\r\n${'a'.repeat(100_000)}`, 1_000);
    assert.equal(isWhole, true);
    assert.equal(body.length, 16_384);
  });

  it('is refused where it is no HTTP/1.1, or has a head without end or wrong chunks', () => {
    const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
    const wrong = [
      'SSH-2.0-OpenSSH_9.2\r\n\r\n',
      `HTTP/1.1 200 OK\r\nx: ${'a'.repeat(70_000)}`,
      `${chunked}zz\r\n`,
      `${chunked}123456789\r\n`,
    ];
    for (const text of wrong) assert.throws(() => arrive(text, 1_000), Error, text.slice(0, 20));
  });
});

describe('the head of an upload', () => {
  it('has each header once, and those of the connection are its own', () => {
    const headers = {
      'User-Agent': 'a',
      'user-agent': 'b',
      'X-Scope': ' t\r\n',
      Connection: 'keep-alive',
      'Content-Length': '9',
      'Transfer-Encoding': 'chunked',
    };
    assert.equal(
      requestHead('POST /ingest?a=b', 'server:4040', headers, 3).toString('latin1'),
      'POST /ingest?a=b HTTP/1.1\r\nhost: server:4040\r\naccept: */*\r\nuser-agent: b\r\n' +
        'x-scope: t\r\nconnection: close\r\ncontent-length: 3\r\n\r\n',
    );
  });
});
