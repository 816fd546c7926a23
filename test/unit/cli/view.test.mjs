/** Checks `otelpyroscope view`: what it serves, from where it takes it, and its errors. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { shopProfile } from '../../support/make-profile.mjs';
import { cli } from './cli.mjs';

describe('otelpyroscope view', function () {
  this.timeout(60_000);
  let directory;
  let file;
  let server;
  let origin;

  before(async function () {
    directory = mkdtempSync(path.join(os.tmpdir(), 'view-'));
    file = path.join(directory, 'shop.pb.gz');
    writeFileSync(file, shopProfile());
    server = createServer((request, response) => {
      response.writeHead(request.url.startsWith('/profile') ? 200 : 404);
      response.end(request.url === '/profile?seconds=1' ? shopProfile() : 'nothing here, sorry');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    origin = `http://127.0.0.1:${server.address().port}`;
  });

  after(function () {
    server.close();
    rmSync(directory, { recursive: true });
  });

  /** Returns the served page, and then interrupts the command. */
  async function view(target) {
    let found;
    const ended = await cli(['view', '--no-open', target], {
      onSpawn(child) {
        let text = '';
        child.stdout.on('data', async (chunk) => {
          text += chunk;
          const [, url] = /: (http:\/\/127\.0\.0\.1:\d+\/)\n/.exec(text) ?? [];
          if (url === undefined || found !== undefined) return;
          found = (await fetch(`${url}api/profile`)).json();
          found.catch(() => {}).finally(() => child.kill('SIGINT'));
        });
      },
    });
    assert.equal(ended.code, 0, ended.stderr);
    return found;
  }

  it('serves a file until it is interrupted', async function () {
    const { total, source } = await view(file);
    assert.deepEqual([total, source.title, source.live], [3140e6, 'shop.pb.gz', false]);
  });

  it('serves the profile of a URL', async function () {
    const { total, source } = await view(`${origin}/profile?seconds=1`);
    assert.deepEqual([total, source.title], [3140e6, `${origin}/profile?seconds=1`]);
  });

  if (process.platform === 'linux') {
    it('opens the browser only if there is a display', async function () {
      // The stand-in for a browser writes down the address that it is called with.
      const bin = path.join(directory, 'bin');
      const called = path.join(directory, 'called');
      mkdirSync(bin);
      writeFileSync(path.join(bin, 'xdg-open'), `#!/bin/sh\necho "$1" > ${called}\n`, {
        mode: 0o755,
      });
      const PATH = `${bin}${path.delimiter}${process.env.PATH}`;
      const open = (env, args = []) =>
        cli(['view', ...args, file], {
          env: { PATH, DISPLAY: '', WAYLAND_DISPLAY: '', ...env },
          onSpawn(child) {
            let text = '';
            child.stderr.on('data', (chunk) => {
              text += chunk;
              if (text.includes('Ctrl-C ends it.')) child.kill('SIGINT');
            });
          },
        });
      for (const [env, args] of [
        [{}, []],
        [{ DISPLAY: ':0' }, ['--no-open']],
      ]) {
        const { code, stderr } = await open(env, args);
        assert.deepEqual([code, stderr], [0, 'Ctrl-C ends it.\n']);
      }
      assert.equal(existsSync(called), false);
      for (const env of [{ DISPLAY: ':0' }, { WAYLAND_DISPLAY: 'wayland-0' }]) {
        const { code, stdout, stderr } = await open(env);
        assert.deepEqual([code, stderr], [0, 'Opened in the browser. Ctrl-C ends it.\n']);
        // A process of its own, which may take its time.
        while (!existsSync(called) || readFileSync(called, 'utf8') === '') await sleep(10);
        assert.equal(stdout, `shop.pb.gz: ${readFileSync(called, 'utf8')}`);
        rmSync(called);
      }
      const none = await open({ DISPLAY: ':0', PATH: directory });
      assert.deepEqual([none.code, none.stderr], [0, 'Ctrl-C ends it.\n']);
    });
  }

  it('reports errors', async function () {
    for (const [args, expected, pattern] of [
      [[], 2, /view needs a FILE or URL/],
      [[file, '--port', '99999'], 2, /--port needs a whole number from 0 to 65535/],
      [[file, '--port', new URL(origin).port], 1, /cannot listen: .*EADDRINUSE/],
      [[`${origin}/missing`], 1, /\/missing answered 404/],
      [[`${origin}/profile`], 1, /\/profile is not a pprof profile .*it is text/],
      [['http://127.0.0.1:1/'], 1, /cannot get http:\/\/127\.0\.0\.1:1\/: /],
      [['missing'], 1, /there is no such file/],
    ]) {
      const { code, stderr } = await cli(['view', '--no-open', ...args]);
      assert.equal(code, expected, stderr);
      assert.match(stderr, pattern);
    }
  });
});
