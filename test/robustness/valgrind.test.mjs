/** The plain C++ tests under valgrind's memcheck: no error, and nothing lost but what is never freed by design. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { lacking, sharedSources, tests } from '../native/cases.mjs';
import { buildDirectory, compile, compileObjects, testDirectory } from '../native/toolchain.mjs';
import { needsProgram } from '../support/needs.mjs';
import { torture, tortures } from './torture.mjs';

const { noteNotRun } = createRequire(import.meta.url)('../support/not-run.cjs');
const run = promisify(execFile);
const ERROR = 66;
/**
 * Valgrind has the highest signal for itself, does not interrupt a handler that has just begun, and
 * delivers signals at times of its own.
 */
const IMPOSSIBLE = new Set([
  'timer_takes_the_highest_free_signal',
  'timer_without_a_free_signal_is_an_error',
  'timer_takes_no_signal_that_is_blocked_while_there_is_another',
  'a_handler_that_has_just_begun_is_passed_over',
  'handlers_on_the_alternate_stack_are_passed_over',
  'timer_takes_a_sample_an_interval_where_the_tick_is_longer',
  'timer_sees_work_in_step_with_the_clock',
  'timer_lets_a_thread_sleep_and_is_armed_when_it_wakes',
]);
/** See sample_ring.h: a handler may still see it. */
const SUPPRESSIONS = `{
  a ring is never freed
  Memcheck:Leak
  match-leak-kinds: definite
  ...
  fun:Allocate
  ...
}
`;
const OPTIONS = [
  '--quiet',
  // It runs one thread at a time: without it, one that waits for another by burning CPU starves it.
  '--fair-sched=yes',
  `--error-exitcode=${ERROR}`,
  '--leak-check=full',
  '--errors-for-leak-kinds=definite',
  '--track-origins=yes',
];

tortures('torture under valgrind', function () {
  let directory;
  let memcheck;

  before(function () {
    needsProgram('valgrind', this);
    directory = mkdtempSync(path.join(os.tmpdir(), 'valgrind-'));
    const suppressions = path.join(directory, 'suppressions');
    writeFileSync(suppressions, SUPPRESSIONS);
    memcheck = [...OPTIONS, `--suppressions=${suppressions}`];
  });
  after(() => rmSync(directory, { recursive: true }));

  for (const { file, cases } of tests) {
    torture(`is survived: ${file}`, { once: true }, async () => {
      const built = path.join(buildDirectory, 'plain');
      const shared = await compileObjects(path.join(built, 'shared'), sharedSources, ['-O2']);
      const binary = path.join(built, path.basename(file, '.cc'));
      await compile(binary, [path.join(testDirectory, file)], ['-O2'], shared);
      for (const name of cases.filter((name) => !IMPOSSIBLE.has(name))) {
        // Rejects, with what memcheck has found, where it does not end with 0.
        const { stdout } = await run('valgrind', [...memcheck, binary, name]);
        const lacked = lacking(stdout);
        if (lacked === undefined) assert.equal(stdout, `ok ${name}\n`);
        else noteNotRun(`${name} under valgrind: because it needs ${lacked}`);
      }
    });
  }

  torture('finds what is wrong', { once: true }, async () => {
    const binary = path.join(directory, 'wrong');
    const source = path.join(directory, 'wrong.cc');
    writeFileSync(source, 'int main() { return *(new int[2] + 2) == 7 ? 1 : 0; }\n');
    await compile(binary, [source], ['-O0']);
    await assert.rejects(run('valgrind', [...memcheck, binary]), (error) => {
      assert.equal(error.code, ERROR);
      assert.match(error.stderr, /Invalid read/);
      return true;
    });
  });
});
