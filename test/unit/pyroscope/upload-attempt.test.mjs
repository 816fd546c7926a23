/** One try of an upload: over TLS, through proxies, and in a process that is suspended meanwhile. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { messageOf, runCode } from '../../support/run-child.mjs';

/** The key of localhost, until 2126; for these tests alone. */
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgmZYtGS10RkGea1eF
iM2pogKk8Nm32PVcCKOqWNgp412hRANCAAQVW+Sfmca0PXo0vEwavi3Ya0W0r16Z
5ADYimKrBP16KVcJat4CgufBsRcsgxH9/T1eod++S1zsSPgJmCK6lwdc
-----END PRIVATE KEY-----
`;
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBljCCATugAwIBAgIUSKSudZzZR9lPXN7tsFclbRecgBMwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNzEzNTc0MFoYDzIxMjYxMTAz
MTM1NzQwWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQVW+Sfmca0PXo0vEwavi3Ya0W0r16Z5ADYimKrBP16KVcJat4CgufB
sRcsgxH9/T1eod++S1zsSPgJmCK6lwdco2kwZzAdBgNVHQ4EFgQUg1XpNLrX2Jb2
LcUGMfOHLRE+TFQwHwYDVR0jBBgwFoAUg1XpNLrX2Jb2LcUGMfOHLRE+TFQwDwYD
VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
SQAwRgIhAKcr/I/KQ1Zy4/AXXJoZFZPnHz10m7lUKU4vU9S6bfuwAiEA76iCTEzj
7r7DStIE0mhGXCwDKRNg7xGs7qRMlGIPKS4=
-----END CERTIFICATE-----
`;

/** The beginning of a process's code: `attempt` resolves to the status and the body, or the failure. */
const ATTEMPT = `
  // A try does not keep the process alive.
  const alive = setInterval(() => {}, 1_000);
  const send = (message) => {
    clearInterval(alive);
    process.send(message);
  };
  const { attemptUpload } = require('./lib/pyroscope/upload-attempt.js');
  const attempt = (url, timeoutMs = 5_000) =>
    attemptUpload({ url, headers: { 'x-test': 'yes' }, body: Buffer.from('profile') }, timeoutMs, new AbortController().signal)
      .then(({ status, body }) => [status, Buffer.from(body).toString()], ({ code, message }) => [code, message]);`;

/** Answers with what it has received. */
function answer(request, response) {
  let body = '';
  request.on('data', (bytes) => (body += bytes));
  request.on('end', () => {
    response.end([request.method, request.url, request.headers['x-test'], body].join(' '));
  });
}

describe('a try of an upload', function () {
  this.timeout(60_000);
  const closers = [];
  afterEach(() => {
    for (const close of closers.splice(0)) close();
  });

  async function listen(server, host) {
    const sockets = new Set();
    server.on('connection', (socket) => sockets.add(socket));
    server.listen(0, host);
    await once(server, 'listening');
    closers.push(() => {
      server.close();
      for (const socket of sockets) socket.destroy();
    });
    return server.address().port;
  }

  it('uses TLS, whose certificate it checks, and the proxy of the environment', async () => {
    const plain = await listen(http.createServer(answer), '127.0.0.1');
    const secure = await listen(
      https.createServer({ key: KEY, cert: CERTIFICATE }, answer),
      '127.0.0.1',
    );
    const proxied = [];
    const proxy = http.createServer((request, response) => {
      proxied.push([request.method, request.url, request.headers['proxy-authorization']]);
      answer(request, response);
    });
    proxy.on('connect', (request, socket) => {
      proxied.push([request.method, request.url, request.headers['proxy-authorization']]);
      const server = net.connect(secure, '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        server.pipe(socket).pipe(server);
      });
      for (const end of [server, socket]) end.on('error', () => {});
    });
    const proxyPort = await listen(proxy, '127.0.0.1');
    const directory = mkdtempSync(path.join(os.tmpdir(), 'attempt-'));
    closers.push(() => rmSync(directory, { recursive: true }));
    const certificate = path.join(directory, 'certificate.pem');
    writeFileSync(certificate, CERTIFICATE);

    const results = await messageOf(
      runCode(
        `${ATTEMPT}
         (async () => {
           const results = [];
           const take = async (url) => results.push(await attempt(url));
           await take('http://127.0.0.1:${plain}/a?b=c');
           await take('https://localhost:${secure}/d');
           await take('https://127.0.0.1:${secure}/no-name-of-the-certificate');
           process.env.NODE_USE_ENV_PROXY = '1';
           process.env.HTTP_PROXY = process.env.https_proxy = 'http://user:p%40ss@127.0.0.1:${proxyPort}';
           await take('http://server.test/e?f=g');
           await take('https://localhost:${secure}/h');
           process.env.NO_PROXY = 'other, .0.0.1:${plain}';
           await take('http://127.0.0.1:${plain}/i');
           process.env.HTTP_PROXY = 'http://';
           results.push((await attempt('http://server.test/'))[1]);
           send(results);
         })();`,
        { env: { NODE_EXTRA_CA_CERTS: certificate } },
      ),
    );
    assert.deepEqual(results.slice(0, 2), [
      [200, 'POST /a?b=c yes profile'],
      [200, 'POST /d yes profile'],
    ]);
    assert.equal(results[2][0], 'ERR_TLS_CERT_ALTNAME_INVALID');
    assert.deepEqual(results.slice(3, 6), [
      [200, 'POST http://server.test/e?f=g yes profile'],
      [200, 'POST /h yes profile'],
      [200, 'POST /i yes profile'],
    ]);
    assert.equal(results[6], 'HTTP_PROXY is no URL');
    const authorization = `Basic ${Buffer.from('user:p@ss').toString('base64')}`;
    assert.deepEqual(proxied, [
      ['POST', 'http://server.test/e?f=g', authorization],
      ['CONNECT', `localhost:${secure}`, authorization],
    ]);
  });

  it('has its response where that arrived while the process was suspended beyond the time limit', async () => {
    let child;
    const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    const port = await listen(
      http.createServer(async (request, response) => {
        request.resume();
        await once(request, 'end');
        child.kill('SIGSTOP');
        await later(100);
        response.end('the answer');
        await later(1_300);
        child.kill('SIGCONT');
      }),
      '127.0.0.1',
    );
    const result = await messageOf(
      runCode(`${ATTEMPT} attempt('http://127.0.0.1:${port}/', 1_000).then(send);`, {
        onSpawn: (spawned) => (child = spawned),
      }),
    );
    assert.deepEqual(result, [200, 'the answer']);
  });
});
