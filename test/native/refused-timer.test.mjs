/** The errors that users see where the kernel or a sandbox forbids CPU timers. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { messageOf, runCode } from '../support/run-child.mjs';
import { buildDirectory, compile, needsCompilerForNode, testDirectory } from './toolchain.mjs';

const library = path.join(buildDirectory, 'refused-timer', 'refused_timer.so');

describe('refused CPU timer', function () {
  this.timeout(60_000);

  before(async function () {
    needsCompilerForNode(this);
    await compile(
      library,
      [path.join(testDirectory, 'refused_timer.cc')],
      ['-O1', '-fPIC', '-D_GNU_SOURCE'],
      ['-shared'],
    );
  });

  it('is ERR_TIMER_REFUSED; labels work, nothing is left behind, a later start may succeed', async function () {
    const report = await messageOf(
      runCode(
        `
        const { CpuProfiler, withLabels, getLabels } = require('otelpyroscope');
        const { readProfile } = require('./test/support/read-profile.cjs');
        const signals = () => require('fs').readFileSync('/proc/self/status', 'utf8').match(/^SigCgt.*$/m)[0];
        const { burnSampled } = require('./test/support/burn.cjs');
        const profiler = new CpuProfiler({ intervalMicros: 4_000 });
        const before = signals();
        const refusals = [];
        for (let i = 0; i < 2; i++) {
          try {
            profiler.start();
          } catch (error) {
            refusals.push([error.name, error.code, error.message]);
          }
        }
        const { running } = profiler;
        const labels = withLabels({ a: 'b' }, () => getLabels());
        const after = signals();
        process.env.TIMER_ALLOWED = '1';
        profiler.start();
        withLabels({ a: 'b' }, () => burnSampled(200));
        profiler.stop().then((bytes) => {
          const profile = readProfile(bytes);
          process.send({
            refusals, running, labels, before, after,
            labelled: profile.nanos((sample) => sample.labels.a === 'b') / profile.totalNanos,
          });
          process.disconnect();
        });
      `,
        { env: { LD_PRELOAD: library } },
      ),
    );
    assert.equal(report.refusals.length, 2);
    for (const [name, code, message] of report.refusals) {
      assert.deepEqual([name, code], ['ProfilerError', 'ERR_TIMER_REFUSED']);
      assert.match(message, /Operation not permitted/);
    }
    assert.equal(report.running, false);
    assert.deepEqual(report.labels, { a: 'b' });
    assert.equal(report.after, report.before);
    assert.ok(report.labelled > 0.7, `${report.labelled}`);
  });

  it('may be refused its end, in a sandbox that was put up while it ran', async function () {
    const report = await messageOf(
      runCode(
        `
        const { Worker } = require('node:worker_threads');
        const { CpuProfiler, withLabels } = require('otelpyroscope');
        const { readProfile } = require('./test/support/read-profile.cjs');
        const { burnSampled } = require('./test/support/burn.cjs');
        const profiler = new CpuProfiler({ intervalMicros: 1_000 });
        profiler.start();
        burnSampled(50);
        process.env.TIMER_DELETE_REFUSED = '1';
        const labelled = [];
        const signals = [];
        const round = async () => {
          const worker = new Worker("require('otelpyroscope'); for (;;);", { eval: true });
          await new Promise((resolve) => worker.once('online', resolve));
          withLabels({ a: 'b' }, () => burnSampled(200));
          await worker.terminate();
          signals.push(profiler.metrics().signals);
          const profile = readProfile(await profiler.stop());
          // Signals of a timer that goes on would end the process here.
          for (let until = Date.now() + 100; Date.now() < until; );
          labelled.push(profile.nanos((sample) => sample.labels.a === 'b'));
        };
        (async () => {
          await round();
          for (let i = 0; i < 2; i++) {
            profiler.start();
            await round();
          }
          process.send({ labelled, signals });
          process.disconnect();
        })();
      `,
        { env: { LD_PRELOAD: library, TIMER_ALLOWED: '1' } },
      ),
    );
    for (const nanos of report.labelled) assert.ok(nanos > 0, JSON.stringify(report));
  });
});
