/** The native layers, and the harness of their tests. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { tests } from './cases.mjs';
import { testNativeLayers } from './native-layers.mjs';
import { buildDirectory, compile, testDirectory } from './toolchain.mjs';

const run = promisify(execFile);

testNativeLayers('plain', 'plain', ['-O2']);

describe('the harness of the native layers', function () {
  let program;

  before(async function () {
    this.timeout(60_000);
    program = path.join(buildDirectory, 'harness', 'check_test');
    const sources = ['check.cc', 'check_test.cc'].map((file) => path.join(testDirectory, file));
    await compile(program, sources);
  });

  it('fails for a case that does not hold', async function () {
    await assert.rejects(run(program, ['fails_always']), (error) => {
      assert.match(error.stderr, /check_test\.cc:\d+: expected 1 == 2, got 1 and 2/);
      return error.code === 1;
    });
  });

  it('fails for a case that is not there', async function () {
    await assert.rejects(run(program, ['nobody']), (error) => error.code === 2);
  });

  it('found the cases', function () {
    assert.ok(tests.length >= 6);
    for (const { file, cases } of tests) assert.ok(cases.length > 0, file);
  });
});
