/** Runs the plain C++ tests as programs for arm64 and for musl, which this machine's compiler cannot make. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';
import { zigCompilers, zigEnvironment } from '../../scripts/lib/zig.mjs';
import { lacking, sharedSources, tests } from '../native/cases.mjs';
import { buildDirectory, compile, compileObjects, testDirectory } from '../native/toolchain.mjs';
import { needsOfSystem } from '../support/needs.mjs';
import { requireQemu, runOnArm64 } from './qemu.mjs';

const run = promisify(execFile);

/**
 * They put functions before those of the C library, load more, or look at what was loaded, which a
 * static program cannot.
 */
const NOT_STATIC = [
  'timer_passes_over_signals_that_the_kernel_refuses',
  ...['', '_precise'].flatMap((clock) => [
    `timer_refused_by_the_kernel_is_an_error${clock}`,
    `timer_that_cannot_be_armed_is_an_error${clock}`,
    `timer_that_cannot_be_deleted_is_disarmed_and_used_again${clock}`,
    `timer_that_cannot_even_be_disarmed_is_ignored${clock}`,
  ]),
  'timer_limit_holds_for_timers_that_cannot_be_deleted',
  'memory_reads_without_process_vm_readv',
  'symbols_of_this_program_and_its_libraries',
  'symbols_that_are_not_there_make_room_for_the_file',
  'symbols_of_what_is_loaded_later',
  'symbols_are_for_any_thread',
  'symbols_do_not_wait_for_a_pipe_at_a_librarys_path',
  'stacks_with_native_functions_are_named_at_last',
  'stacks_with_functions_of_a_file_loaded_meanwhile_are_named_at_last',
  'timer_lets_a_thread_sleep_and_is_armed_when_it_wakes',
  'timer_goes_by_ticks_where_the_precise_one_is_refused',
  'timer_goes_by_ticks_where_arming_is_refused_later',
];
/** qemu-user has 32 timers. */
const NOT_EMULATED = [
  'timer_limit_is_named',
  'timer_limit_holds_for_timers_that_cannot_be_deleted',
];

/** Cases that a target cannot run; a name that is no case is an error. */
const targets = [
  { arch: 'x64', libc: 'musl', link: ['-static'], execute: run, not: NOT_STATIC },
  {
    arch: 'arm64',
    libc: 'musl',
    link: ['-static'],
    execute: runOnArm64,
    not: [...NOT_STATIC, ...NOT_EMULATED],
  },
  {
    arch: 'arm64',
    libc: 'glibc',
    link: [],
    execute: runOnArm64,
    not: NOT_EMULATED,
  },
];

for (const { arch, libc, link, execute, not } of targets) {
  describe(`native layers, ${arch} ${libc}`, function () {
    const directory = path.join(buildDirectory, `${arch}-${libc}`);
    // -g0: zig rebuilds its libraries for every level of it. The warnings are another compiler's.
    const flags = ['-O2', '-fPIC', '-g0', '-Wno-error', '-fno-sanitize=undefined'];
    if (link.includes('-static')) flags.push('-DOTELPYROSCOPE_STATIC');
    let toolchain;
    let shared;

    before(async function () {
      this.timeout(1_800_000);
      if (arch === 'arm64') requireQemu();
      toolchain = { compiler: zigCompilers({ arch, libc }).cxx, env: zigEnvironment() };
      const place = path.join(directory, 'shared');
      shared = await compileObjects(place, sharedSources, flags, toolchain);
    });

    it('leave out only cases that exist', function () {
      const all = tests.flatMap(({ cases }) => cases);
      assert.deepEqual(
        not.filter((name) => !all.includes(name)),
        [],
      );
    });

    for (const { file, cases } of tests) {
      describe(file, function () {
        const program = path.join(directory, path.basename(file, '.cc'));

        before(async function () {
          // The first one waits for zig to compile the C++ library.
          this.timeout(1_800_000);
          const source = path.join(testDirectory, file);
          await compile(program, [source], flags, ['-O2', ...link, ...shared], toolchain);
        });

        for (const name of cases.filter((one) => !not.includes(one))) {
          it(name.replaceAll('_', ' '), async function () {
            const { stdout } = await execute(program, [name], { timeout: 60_000 });
            needsOfSystem(lacking(stdout), this);
            assert.equal(stdout, `ok ${name}\n`);
          });
        }
      });
    }
  });
}
