/** Systems that refuse, limit and mislead. */

import assert from 'node:assert/strict';
import { messageOf, runNode } from '../support/run-child.mjs';
import { buildPreload } from './build.mjs';
import {
  count,
  countPrinted,
  NODE_MAJOR,
  program,
  SECONDS,
  survives,
  torture,
  tortures,
} from './torture.mjs';

const MIX = program('mix.mjs');
const REFUSED = program('refused.cjs');
const MEMORY = program('memory.mjs');

/** Numbers of system calls: https://github.com/torvalds/linux/blob/master/arch/x86/entry/syscalls/syscall_64.tbl */
const CALLS = {
  x64: { timerCreate: 222, timerSettime: 223, vmRead: 310 },
  arm64: { timerCreate: 107, timerSettime: 110, vmRead: 270 },
}[process.arch];
/** Address space that the profiler, its threads and their arenas take. */
const ENOUGH_MEGABYTES = 256;
/** Without /proc/self/maps nobody knows where V8 has its copy of the builtins: each in it is unresolved. */
const NO_MAPS = { unresolved: 0.1 };
const EPERM = 1;
const EAGAIN = 11;
const ENOSYS = 38;

tortures('torture by the system', function () {
  let library;
  before(async () => {
    library = await buildPreload();
  });

  for (const [name, call, error, short] of [
    ['timer_create, EPERM', 'timerCreate', EPERM, true],
    ['timer_create, EAGAIN', 'timerCreate', EAGAIN, false],
    ['timer_create, ENOSYS', 'timerCreate', ENOSYS, false],
    ['timer_settime, EPERM', 'timerSettime', EPERM, true],
  ]) {
    torture(`is survived: seccomp refuses ${name}`, { short }, async () => {
      const report = await messageOf(
        runNode([REFUSED, '2'], {
          env: { LD_PRELOAD: library, TORTURE_REFUSED: `${CALLS[call]}:${error}` },
        }),
      );
      const { code, running, labels, exits, clean } = report;
      assert.deepEqual(
        { code, running, labels, exits, clean },
        {
          code: 'ERR_TIMER_REFUSED',
          running: false,
          labels: { task: 'a' },
          exits: [0, 0],
          clean: true,
        },
      );
    });
  }

  for (const [name, environment, short, limits] of [
    [
      'seccomp refuses process_vm_readv, EPERM',
      { TORTURE_REFUSED: `${CALLS.vmRead}:${EPERM}` },
      true,
    ],
    [
      'seccomp refuses process_vm_readv, ENOSYS',
      { TORTURE_REFUSED: `${CALLS.vmRead}:${ENOSYS}` },
      false,
    ],
    ['/proc/self/mem and maps cannot be opened', { TORTURE_NO_PROC: '1' }, false, NO_MAPS],
    [
      'neither process_vm_readv nor /proc/self/mem',
      { TORTURE_NO_PROC: '1', TORTURE_REFUSED: `${CALLS.vmRead}:${EPERM}` },
      true,
      // Without a look at the heap first, nothing is read there by the handler.
      { ...NO_MAPS, labels: NODE_MAJOR < 24 },
    ],
    ['the wall clock jumps', { TORTURE_CLOCK_JUMPS: '1' }, true],
  ]) {
    torture(`is survived: ${name}`, { short }, async () => {
      await survives([MIX, String(SECONDS)], {
        env: { LD_PRELOAD: library, ...environment },
        limits,
      });
    });
  }

  torture('is survived: no signals may be queued', {}, async () => {
    const report = await messageOf(
      runNode([REFUSED, '2'], { through: ['prlimit', '--sigpending=0'] }),
    );
    assert.deepEqual(
      [report.code, report.exits, report.clean],
      ['ERR_TIMER_REFUSED', [0, 0], true],
    );
  });

  torture('is survived: few files may be open', {}, async () => {
    await survives([MIX, String(SECONDS)], { through: ['prlimit', '--nofile=40'] });
  });

  for (const stack of [1, 64]) {
    torture(`is survived: a stack of ${stack} MiB`, {}, async () => {
      await survives([`--stack-size=${stack * 800}`, MIX, String(SECONDS)], {
        through: ['prlimit', `--stack=${stack << 20}`],
      });
    });
  }
});

tortures('torture by little memory', function () {
  for (const [megabytes, keep, short] of [
    [60, 30, true],
    [60, 40, false],
    [100, 75, false],
  ]) {
    torture(`is survived: ${keep} of ${megabytes} MB`, { short }, async () => {
      const flags = [`--max-old-space-size=${megabytes}`, '--max-semi-space-size=1'];
      await survives([...flags, MEMORY, String(keep), String(SECONDS)]);
    });
  }

  torture('is the same as without a profiler: no memory', { short: true }, async () => {
    const ends = [];
    for (const mode of ['on', 'off']) {
      const ended = await runNode(['--max-old-space-size=40', MEMORY, '-1', '5', mode]);
      countPrinted(ended);
      ends.push([ended.code, ended.signal, /heap out of memory/.test(ended.stderr)]);
    }
    assert.deepEqual(ends[0], ends[1]);
    assert.equal(ends[0][2], true);
  });

  torture(
    'is survived: a limit of address space that Node itself can just live with',
    {},
    async () => {
      const peak = ({ stdout }) => Number(/VmPeak:\s*(\d+)/.exec(stdout)[1]) * 1024;
      const plain = ['-p', "require('node:fs').readFileSync('/proc/self/status', 'utf8')"];
      const bare = peak(await runNode(plain));
      const outcomes = [];
      // From what is too little for Node, which ends then in ways of its own, to enough for both.
      for (const more of [-16, 0, 16, 32, 64, 128, 256]) {
        const limit = ['prlimit', `--as=${bare + more * 2 ** 20}`];
        const { code, signal, messages, stderr } = await runNode([REFUSED], { through: limit });
        outcomes.push(`${more} MiB: ${signal ?? code}`);
        if (code === 0 && messages.length === 1) {
          const [report] = messages;
          count(report.metrics);
          assert.match(report.code, /^(ERR_TIMER_REFUSED)?$/);
        } else {
          assert.ok(more < ENOUGH_MEGABYTES, `${outcomes}\n${stderr}`);
        }
      }
      console.log(`        ${outcomes.join(', ')} more than Node alone`);
    },
  );
});
