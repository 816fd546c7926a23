/** Runs the real addon with a preloaded library that ends the process when the handler allocates or locks. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { buildDirectory, compile, needsCompilerForNode, testDirectory } from './toolchain.mjs';

const library = path.join(buildDirectory, 'handler-check', 'handler_check.so');
const control = path.join(buildDirectory, 'handler-check', 'control');

/** Runs a program under the check; `runs` is how often a handler ran in it. */
function runChecked(program, args) {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'handler-check-'));
  try {
    const report = path.join(directory, 'report');
    const result = spawnSync(program, args, {
      encoding: 'utf8',
      env: { ...process.env, LD_PRELOAD: library, HANDLER_CHECK_REPORT: report },
      timeout: 30_000,
    });
    const runs = result.status === 0 ? Number(readFileSync(report, 'utf8')) : undefined;
    return { ...result, runs };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Both places where the label id may be read from, where this Node has both. */
const labelModes = [
  '--experimental-async-context-frame', // Node 22
  '--no-async-context-frame', // Node 24
].filter((flag) => process.allowedNodeEnvironmentFlags.has(flag));

describe('signal handler under load', function () {
  this.timeout(60_000);

  before(async function () {
    needsCompilerForNode(this);
    await compile(
      library,
      [path.join(testDirectory, 'handler_check.cc')],
      ['-O1', '-fPIC', '-fno-builtin'],
      ['-shared'],
    );
    await compile(
      control,
      [path.join(testDirectory, 'handler_check_control.cc')],
      ['-O0', '-fno-builtin'],
    );
  });

  describe('the check itself', function () {
    it('lets a handler pass that keeps the rules', function () {
      const { status, stdout, stderr, runs } = runChecked(control, []);
      assert.deepEqual(
        { status, stdout, stderr, runs },
        {
          status: 0,
          stdout: 'done\n',
          stderr: '',
          runs: 2,
        },
      );
    });

    for (const [deed, caught] of [
      ['malloc', 'malloc'],
      ['free', 'free'],
      ['calloc', 'calloc'],
      ['realloc', 'realloc'],
      ['new', 'malloc'],
      ['aligned', 'aligned_alloc'],
      ['lock', 'pthread_mutex_lock'],
      ['print', 'fputs'],
      ['name', 'dladdr'],
    ]) {
      it(`ends a process whose handler calls ${caught} (${deed})`, function () {
        const { status, stdout, stderr } = runChecked(control, [deed]);
        assert.equal(stderr, `handler check: ${caught} called in a signal handler\n`);
        assert.equal(status, 97);
        assert.equal(stdout, '');
      });
    }
  });

  for (const flags of [[], ...labelModes.map((flag) => [flag])]) {
    it(`neither allocates nor locks in ${['Node', ...flags].join(' ')}`, function () {
      const { status, signal, stdout, stderr, runs } = runChecked(process.execPath, [
        ...process.execArgv,
        ...flags,
        '--expose-gc',
        path.join(testDirectory, 'fixtures', 'handler-load.mjs'),
      ]);
      assert.deepEqual({ status, signal, stderr }, { status: 0, signal: null, stderr: '' });
      const found = JSON.parse(stdout);
      const isRefused = found[2].clockRefusal !== '';
      assert.deepEqual(
        found.map(({ clock }) => clock),
        ['tick', 'precise', isRefused ? 'tick' : 'perf'],
      );
      for (const metrics of found) {
        assert.ok(metrics.signals >= 100, `${metrics.signals} signals`);
        assert.ok(metrics.labelledSamples >= metrics.samples / 2, JSON.stringify(metrics));
      }
      const signals = found.reduce((sum, metrics) => sum + metrics.signals, 0);
      assert.ok(runs >= signals, `${runs} runs, ${signals} signals`);
    });
  }
});
