/** Checks that tests that do not run are reported with the reason, and fail on CI if it is a missing program. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ROOT, runNode } from '../support/run-child.mjs';

const needs = path.join(ROOT, 'test', 'support', 'needs.mjs');
const TESTS = `
  import { needsOfSystem, needsProgram } from ${JSON.stringify(needs)};
  describe('a suite', function () {
    before(function () { needsProgram('no-such-program', this); });
    it('does not run', () => {});
  });
  it('has a program', function () { needsProgram('node', this); });
  it('has none', function () { needsProgram('no-such-other', this); });
  it('is for other systems', function () { needsOfSystem('another system', this); });`;

describe('a test that needs a program', function () {
  it('is reported as not run if it is missing, and fails on CI', async function () {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'needs-'));
    try {
      const file = path.join(directory, 'one.test.mjs');
      writeFileSync(file, TESTS);
      const mocha = path.join(ROOT, 'node_modules', 'mocha', 'bin', 'mocha.js');
      const [here, onCi] = await Promise.all(
        ['', 'true'].map((CI) => runNode([mocha, file], { env: { CI, MOCHA_SUMMARY: '' } })),
      );
      assert.equal(here.code, 0, here.stdout);
      assert.deepEqual(here.stdout.match(/^ {2}(\d+ .*|not run: .*)$/gm), [
        here.stdout.match(/ {2}1 passing .*/)[0],
        '  3 pending',
        '  not run: has none: because no-such-other is not installed',
        '  not run: is for other systems: because it needs another system',
        '  not run: a suite: because no-such-program is not installed',
      ]);
      assert.equal(onCi.code, 2, onCi.stdout);
      assert.match(onCi.stdout, /not run: is for other systems: because it needs another system/);
      assert.match(onCi.stdout, /no-such-other is not installed, and CI leaves no test out/);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
