/** Builds the plain C++ tests, plain and under each sanitizer, and reports every case of theirs. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { buildDirectory, compile, nativeDirectory, testDirectory } from './toolchain.mjs';

const run = promisify(execFile);

/** What can be built without V8, and so can run without Node. */
const sourcesUnderTest = ['code_map.cc', 'cpu_timer.cc', 'safe_memory.cc', 'stack_table.cc'];

const variants = [
  { name: 'plain', flags: ['-O2'] },
  { name: 'thread', flags: ['-O1', '-fsanitize=thread'] },
  {
    name: 'address',
    flags: ['-O1', '-fsanitize=address,undefined', '-fno-sanitize-recover=all'],
  },
];

const tests = readdirSync(testDirectory)
  .filter((file) => file.endsWith('_test.cc'))
  .map((file) => {
    const text = readFileSync(path.join(testDirectory, file), 'utf8');
    return { file, cases: [...text.matchAll(/^TEST\((\w+)\)/gm)].map((match) => match[1]) };
  });

const environment = {
  ...process.env,
  TSAN_OPTIONS: 'halt_on_error=1 exitcode=66',
  ASAN_OPTIONS: 'detect_leaks=0 use_sigaltstack=0 exitcode=66',
  UBSAN_OPTIONS: 'print_stacktrace=1',
};

for (const { name, flags } of variants) {
  describe(`native layers, ${name === 'plain' ? 'plain' : `${name} sanitizer`}`, function () {
    const program = path.join(buildDirectory, name, 'tests');

    before(async function () {
      this.timeout(120_000);
      const sources = [
        path.join(testDirectory, 'check.cc'),
        ...tests.map(({ file }) => path.join(testDirectory, file)),
        ...sourcesUnderTest.map((file) => path.join(nativeDirectory, file)),
      ];
      await compile(program, sources, flags);
    });

    for (const { file, cases } of tests) {
      describe(file, function () {
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

    it('fails for a case that does not hold', async function () {
      await assert.rejects(run(program, ['fails_always'], { env: environment }), (error) => {
        assert.match(error.stderr, /check_test\.cc:\d+: expected 1 == 2, got 1 and 2/);
        return error.code === 1;
      });
    });
  });
}
