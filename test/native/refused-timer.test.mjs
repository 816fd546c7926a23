/** What users see where the kernel or a sandbox forbids CPU timers. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { messageOf, runCode } from '../support/run-child.mjs';
import { buildDirectory, compile, testDirectory } from './toolchain.mjs';

const library = path.join(buildDirectory, 'refused-timer', 'refused_timer.so');

describe('refused CPU timer', function () {
  this.timeout(60_000);

  it('is ERR_TIMER_REFUSED; labels work, nothing is left behind, a later start may succeed', async function () {
    await compile(
      library,
      [path.join(testDirectory, 'refused_timer.cc')],
      ['-O1', '-fPIC', '-D_GNU_SOURCE'],
      ['-shared'],
    );
    const report = await messageOf(
      runCode(
        `
        const { CpuProfiler, withLabels, getLabels } = require('otelpyroscope');
        const { readProfile } = require('./test/support/read-profile.mjs');
        const signals = () => require('fs').readFileSync('/proc/self/status', 'utf8').match(/^SigCgt.*$/m)[0];
        const { burnSampled } = require('./test/support/burn.mjs');
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
});
