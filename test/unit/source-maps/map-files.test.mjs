/** Files that anybody may name as a source map or as code: none is waited for, read without end or told of. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { encode } from '@jridgewell/sourcemap-codec';
import { messageOf, runCode } from '../../support/run-child.mjs';

const require = createRequire(import.meta.url);
const promises = require('node:fs/promises');
const { fileBytes, run, runSync } = require('../../../lib/source-maps/file-steps.js');
const { SourceMaps } = require('../../../lib/source-maps/source-maps.js');

const TEXT = 'function f(){}';
const MAP = JSON.stringify({
  version: 3,
  sources: ['app.ts'],
  names: [],
  mappings: encode([[[0, 0, 6, 0]]]),
});

describe('a file that is no source map', () => {
  let directory;
  let maps;

  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'source-map-files-'));
    maps = new SourceMaps(60_000);
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const at = (name) => path.join(directory, name);
  const lineOf = (originals, url) =>
    originals.functionAt({ name: 'f', url, line: 1, column: 11 }).line;
  const openFiles = () => readdirSync('/proc/self/fd').length;

  function write(reference, name = 'app.js') {
    writeFileSync(at(name), `${TEXT}\n//# sourceMappingURL=${reference}\n`);
    return at(name);
  }
  function writeMapped(name = 'app.js') {
    writeFileSync(at(`${name}.map`), MAP);
    return write(`${name}.map`, name);
  }
  function pipe(name) {
    assert.equal(spawnSync('mkfifo', [at(name)]).status, 0);
    return at(name);
  }

  it('never blocks, even if it is a pipe that was a file a moment ago', async () => {
    const url = write(pipe('pipe'));
    assert.equal(lineOf(await maps.load([url, at('pipe')]), url), 1);
    assert.equal(lineOf(new SourceMaps().loadSync([url, at('pipe')]), url), 1);
    // As if the path named a file when it was checked, and a pipe when it is opened.
    const steps = () => fileBytes(at('pipe'), () => true);
    await assert.rejects(run(steps()), /not a regular file/);
    assert.throws(() => runSync(steps()), /not a regular file/);
  });

  it('is read up to its size, which is 0 for files of /proc', async () => {
    for (const file of ['/proc/self/pagemap', '/proc/kmsg', '/proc/self/smaps']) {
      const url = write(file);
      const before = process.memoryUsage.rss();
      assert.equal(lineOf(await maps.load([url, file]), url), 1);
      assert.equal(lineOf(new SourceMaps().loadSync([url, file]), url), 1);
      assert.ok(process.memoryUsage.rss() - before < 64 << 20, 'much memory is taken');
    }
    const { bytes } = await run(fileBytes('/proc/self/smaps', () => true));
    assert.equal(bytes.length, 0);
  });

  it('may become longer or shorter while it is read', async () => {
    writeFileSync(at('file'), 'abc');
    const longer = () => {
      appendFileSync(at('file'), 'more');
      return true;
    };
    const found = await run(fileBytes(at('file'), longer));
    assert.equal(String(found.bytes), 'abc');
    const shorter = () => {
      truncateSync(at('file'), 1);
      return true;
    };
    await assert.rejects(run(fileBytes(at('file'), shorter)), /shorter/);
    writeFileSync(at('file'), 'abc');
    assert.throws(() => runSync(fileBytes(at('file'), shorter)), /shorter/);
  });

  it('is closed in every case', async () => {
    const refuse = () => {
      throw new Error('planned');
    };
    const url = write(pipe('pipe'));
    await maps.load([url]);
    const before = openFiles();
    await assert.rejects(run(fileBytes(url, refuse)), /planned/);
    assert.throws(() => runSync(fileBytes(url, refuse)), /planned/);
    assert.equal((await run(fileBytes(url, () => false))).bytes, undefined);
    await new SourceMaps().load([url, at('pipe'), '/proc/self/smaps', writeMapped('mapped.js')]);
    assert.equal(openFiles(), before);
  });

  it('is counted, and none of its content is logged', async () => {
    const secret = 'root:$y$j9T$4i';
    writeFileSync(at('shadow'), `${secret}:19000:0:99999:7:::\n`);
    const cases = {
      [at('shadow')]: /no JSON of a source map \(at byte 0\)/,
      [`data:application/json,${secret}`]: /no JSON of a source map/,
      [`data:application/json,%${secret}`]: /its data URL is broken/,
      [`data:application/json;base64,e30${secret}${'A'.repeat(99_999)}`]: /its data URL is broken/,
      [`data:${secret}`]: /its data URL has no data/,
      [`https://${secret}/`]: /its URL is none/,
      [`${secret}/../app.map`]: /it is not in a file/,
      [`file://host/${secret}`]: /ERR_INVALID_FILE_URL_HOST/,
      ['x'.repeat(5_000)]: /its URL is too long/,
    };
    const code = `
      const { SourceMaps } = require('./lib/source-maps/source-maps.js');
      import('./test/support/diag-log.mjs').then(async ({ logDiag }) => {
        const { messages } = logDiag();
        const maps = new SourceMaps(60_000);
        await maps.load([process.env.COMPILED]);
        process.send([messages, maps.skipped]);
      });
    `;
    for (const [reference, expected] of Object.entries(cases)) {
      const url = write(reference);
      const [messages, skipped] = await messageOf(runCode(code, { env: { COMPILED: url } }));
      assert.equal(messages.length, 1, reference);
      assert.match(messages[0], expected);
      assert.ok(messages[0].startsWith(`otelpyroscope: the source map of ${url} cannot be used`));
      assert.ok(!messages[0].includes(secret.slice(0, 8)), messages[0]);
      assert.equal(skipped, 1);
    }
  });

  describe('that cannot be read in time', () => {
    let release;
    let opened;
    const { open } = promises;

    beforeEach(() => {
      opened = 0;
      const released = new Promise((resolve) => {
        release = resolve;
      });
      promises.open = async (file, ...args) => {
        if (String(file).endsWith('stuck.js.map')) {
          opened++;
          await released;
        }
        return open(file, ...args);
      };
    });
    afterEach(() => {
      release();
      promises.open = open;
    });

    it('delays one collect up to the limit, and no other', async () => {
      maps = new SourceMaps(200);
      const [first, stuck, last] = ['first.js', 'stuck.js', 'last.js'].map(writeMapped);
      const urls = [first, stuck, last];
      const linesOf = (originals) => urls.map((url) => lineOf(originals, url));

      const begin = performance.now();
      const originals = await maps.load(urls);
      assert.ok(performance.now() - begin >= 199);
      assert.deepEqual(linesOf(originals), [7, 1, 1]);
      assert.equal(maps.skipped, 2);

      // Nothing is asked of the thread pool, of whose few threads one is waiting there.
      for (let i = 0; i < 20; i++) assert.deepEqual(linesOf(await maps.load(urls)), [1, 1, 1]);
      assert.equal(opened, 1);
      assert.equal(maps.skipped, 2 + 20 * 3);

      // It goes on meanwhile, and is there for the next.
      release();
      while (lineOf(await maps.load([last]), last) !== 7) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      assert.deepEqual(linesOf(await maps.load(urls)), [7, 7, 7]);
      assert.equal(opened, 1);
      assert.deepEqual(linesOf(originals), [7, 1, 1], 'a profile under way has changed');
    });

    it('delays another collect at the same time no longer than the first', async () => {
      maps = new SourceMaps(200);
      const [stuck, other] = ['stuck.js', 'other.js'].map(writeMapped);
      const [first, second] = await Promise.all([maps.load([stuck]), maps.load([other])]);
      assert.deepEqual([lineOf(first, stuck), lineOf(second, other)], [1, 1]);
      release();
      while (lineOf(await maps.load([other]), other) !== 7) {
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    });
  });

  it('is not mistaken for an earlier one', async () => {
    const url = writeMapped();
    assert.equal(lineOf(await maps.load([url]), url), 7);
    const { size } = statSync(url);
    rmSync(url);
    pipe('app.js');
    assert.equal(lineOf(await maps.load([url]), url), 1);
    assert.ok(size > 0);
  });
});
