/** Runs the addon's own tests against the binaries that users get, and against the one of cmake-js. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describeNode } from '../../scripts/lib/native-build.mjs';
import { ROOT } from '../support/run-child.mjs';
import { Copy } from './copy.mjs';
import { publishedBinary } from './published.mjs';

/**
 * The tests that use all of the addon: frames, names, threads, ends and handler; with the cases that
 * only the checkout's own run has, because they are long, or about shares of very short work.
 */
const FILES = {
  'test/integration/frames.test.mjs': 'wrong offset',
  'test/integration/names.test.mjs': 'the right ones',
  'test/integration/workers.test.mjs': 'workers come and go',
  'test/integration/lifecycle.test.mjs': 'workers that start',
  'test/native/handler-safety.test.mjs': 'the check itself',
  'test/native/refused-timer.test.mjs': 'nothing at all',
};

const node = describeNode();

/** Each builds a binary for this Node, in that directory or elsewhere, and returns its path. */
const builds = {
  'cmake-js': (directory) => {
    const binary = path.join(directory, 'otelpyroscope.node');
    const script = path.join(ROOT, 'scripts', 'build-cmake.mjs');
    execFileSync(process.execPath, [script, '--werror', `--out=${binary}`], { stdio: 'pipe' });
    return binary;
  },
  'a release': () => publishedBinary(node),
};

for (const [name, build] of Object.entries(builds)) {
  describe(`the binary of ${name}`, function () {
    this.timeout(1_800_000);
    let directory;
    let copy;

    before(function () {
      directory = mkdtempSync(path.join(os.tmpdir(), 'build-'));
      copy = new Copy(node, build(directory));
    });

    after(function () {
      copy?.remove();
      rmSync(directory, { recursive: true });
    });

    it('is the only binary that its tests can load', function () {
      const code = `
        const { CpuProfiler } = require('otelpyroscope');
        new CpuProfiler().start();
        const maps = require('fs').readFileSync('/proc/self/maps', 'utf8');
        console.log([...new Set(maps.match(/\\/\\S*otelpyroscope\\S*\\.node$/gm))].join());
        process.exit();`;
      const options = { cwd: copy.directory, encoding: 'utf8' };
      assert.equal(execFileSync(process.execPath, ['-e', code], options), `${copy.binary}\n`);
    });

    for (const [file, not] of Object.entries(FILES)) {
      it(`passes ${file}`, async function () {
        const { passed, failed } = await copy.test([file], { grep: not, invert: true });
        assert.deepEqual(failed, []);
        assert.ok(passed.length > 0);
        console.log(`        ${passed.length} tests`);
      });
    }
  });
}
