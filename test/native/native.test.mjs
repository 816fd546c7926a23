/** Builds the plain C++ tests, plain and under each sanitizer, and reports every case of theirs. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { sharedSources, tests } from './cases.mjs';
import {
  buildDirectory,
  compile,
  compileObjects,
  testDirectory,
  twoAtATime,
} from './toolchain.mjs';

const run = promisify(execFile);

const variants = [
  { name: 'plain', flags: ['-O2'] },
  { name: 'thread', flags: ['-O1', '-fsanitize=thread'] },
  {
    name: 'address',
    flags: ['-O1', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'],
  },
];

const environment = {
  ...process.env,
  TSAN_OPTIONS: 'halt_on_error=1 exitcode=66',
  ASAN_OPTIONS: 'detect_leaks=0 use_sigaltstack=0 exitcode=66',
  UBSAN_OPTIONS: 'print_stacktrace=1',
};

for (const { name: variant, flags } of variants) {
  const title = variant === 'plain' ? 'plain' : `${variant} sanitizer`;
  const directory = path.join(buildDirectory, variant);

  describe(`native layers, ${title}`, function () {
    const programOf = (file) => path.join(directory, path.basename(file, '.cc'));

    before(async function () {
      this.timeout(300_000);
      const shared = await compileObjects(path.join(directory, 'shared'), sharedSources, flags);
      await twoAtATime(tests, ({ file }) =>
        compile(programOf(file), [path.join(testDirectory, file)], flags, shared),
      );
    });

    for (const { file, cases } of tests) {
      describe(file, function () {
        const program = programOf(file);

        for (const name of cases) {
          it(name.replaceAll('_', ' '), async function () {
            const { stdout, stderr } = await run(program, [name], {
              env: environment,
              timeout: 15_000,
            });
            assert.equal(stdout, `ok ${name}\n`);
            assert.equal(stderr, '');
          });
        }
      });
    }
  });
}

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
