/** Builds the plain C++ tests, with or without a sanitizer, and reports every case of theirs. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { needsOfSystem } from '../support/needs.mjs';
import { lacking, sharedSources, tests } from './cases.mjs';
import {
  buildDirectory,
  compile,
  compileObjects,
  testDirectory,
  twoAtATime,
} from './toolchain.mjs';

const run = promisify(execFile);

const environment = {
  ...process.env,
  TSAN_OPTIONS: 'halt_on_error=1 exitcode=66',
  ASAN_OPTIONS: 'detect_leaks=0 use_sigaltstack=0 exitcode=66',
  UBSAN_OPTIONS: 'print_stacktrace=1',
};

/**
 * Defines the tests of all layers that need no V8, built with these flags.
 *
 * @param {string} title
 * @param {string} variant The folder of what is built.
 * @param {string[]} flags
 */
export function testNativeLayers(title, variant, flags) {
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
            assert.equal(stderr, '');
            needsOfSystem(lacking(stdout), this);
            assert.equal(stdout, `ok ${name}\n`);
          });
        }
      });
    }
  });
}
