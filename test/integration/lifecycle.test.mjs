/** Starting, stopping, ending the process in every state, and sharing it with others. */

import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { CpuProfiler, ProfilerError } from 'otelpyroscope';
import { burn, burnSampled } from '../support/burn.cjs';
import { clockInUse } from '../support/clock-in-use.mjs';
import { logDiag } from '../support/diag-log.mjs';
import { onStack, readProfile } from '../support/read-profile.mjs';
import { messageOf, ROOT, runCode } from '../support/run-child.mjs';

/** Put before the code of a child. */
const PRELUDE = `
  const { CpuProfiler, withLabels, getLabels } = require('otelpyroscope');
  const { readProfile } = require('./test/support/read-profile.cjs');
  const profiler = new CpuProfiler({ intervalMicros: 1_000 });
  const { burn, burnSampled } = require('./test/support/burn.cjs');
`;
const GC = '(garbage collector)';
const hasCode = (code) => (error) => error instanceof ProfilerError && error.code === code;

describe('a profiler', function () {
  this.timeout(60_000);
  this.slow(10_000);

  it('refuses a second start and continues', async () => {
    const profiler = new CpuProfiler();
    assert.equal(profiler.running, false);
    profiler.start();
    assert.throws(() => profiler.start(), hasCode('ERR_ALREADY_STARTED'));
    assert.equal(profiler.running, true);
    readProfile(await profiler.stop());
    assert.equal(profiler.running, false);
  });

  it('rejects collect() and stop() while it does not run', async () => {
    const profiler = new CpuProfiler();
    await assert.rejects(profiler.collect(), hasCode('ERR_NOT_STARTED'));
    await assert.rejects(profiler.stop(), hasCode('ERR_NOT_STARTED'));
    profiler.start();
    const first = profiler.stop();
    await assert.rejects(profiler.stop(), hasCode('ERR_NOT_STARTED'));
    readProfile(await first);
  });

  it('can be started again', async () => {
    const profiler = new CpuProfiler({ intervalMicros: 4_000 });
    for (let i = 0; i < 3; i++) {
      profiler.start();
      burnSampled(100);
      const profile = readProfile(await profiler.stop());
      // One collection of all that the tests have loaded may take as long as the work.
      const work = profile.sampledNanos - profile.nanos((sample) => onStack(sample, GC));
      const share = profile.nanos((sample) => onStack(sample, 'burn')) / work;
      const stacks = profile.group(({ stack }) => stack.map(({ name }) => name).join(' < '));
      assert.ok(share > 0.5, `round ${i}: ${share} ${JSON.stringify([...stacks].slice(0, 5))}`);
    }
  });

  it('collects windows without a gap and without an overlap', async () => {
    const profiler = new CpuProfiler({ intervalMicros: 4_000 });
    profiler.start();
    const begin = performance.now();
    const windows = [];
    for (let i = 0; i < 5; i++) {
      burn(60);
      windows.push(profiler.collect());
    }
    windows.push(profiler.stop());
    const elapsed = (performance.now() - begin) * 1e6;
    const profiles = (await Promise.all(windows)).map(readProfile);
    const covered = profiles.reduce((sum, profile) => sum + profile.durationNanos, 0);
    assert.ok(Math.abs(covered - elapsed) < 5e6, `${covered} of ${elapsed} ns`);
    for (let i = 1; i < profiles.length; i++) {
      const gap = profiles[i].timeNanos - profiles[i - 1].timeNanos - profiles[i - 1].durationNanos;
      // The start times are whole milliseconds of the wall clock.
      assert.ok(Math.abs(gap) < 5e6, `gap of ${gap} ns`);
    }
  });

  it('has a window of its own beside other profilers', async () => {
    const whole = new CpuProfiler({ intervalMicros: 4_000 });
    const part = new CpuProfiler({ intervalMicros: 4_000 });
    whole.start();
    burnFirst();
    part.start();
    burnSecond();
    const partProfile = readProfile(await part.stop());
    burnThird();
    const wholeProfile = readProfile(await whole.stop());
    assert.equal(partProfile.share('burnFirst'), 0);
    assert.equal(partProfile.share('burnThird'), 0);
    assert.ok(partProfile.sampledShare('burnSecond') > 0.5);
    for (const name of ['burnFirst', 'burnSecond', 'burnThird']) {
      assert.ok(
        wholeProfile.sampledShare(name) > 0.01,
        `${name}: ${wholeProfile.sampledShare(name)}`,
      );
    }
  });

  it('keeps the interval of the profiler that started first, and warns', async () => {
    const report = await messageOf(
      runCode(`${PRELUDE}
        const { diag, DiagLogLevel } = require('@opentelemetry/api');
        const warnings = [];
        diag.setLogger({ warn: (text) => warnings.push(text), error() {}, info() {}, debug() {}, verbose() {} }, DiagLogLevel.WARN);
        profiler.start();
        const other = new CpuProfiler({ intervalMicros: 20_000 });
        other.start();
        (async () => {
          const { period } = readProfile(await other.stop());
          await profiler.stop();
          process.send({ period, warnings });
          process.disconnect();
        })();
      `),
    );
    assert.equal(report.period, 1_000_000);
    assert.equal(report.warnings.length, 1);
    assert.match(report.warnings[0], /intervalMicros 20000 .* 1000/);
  });

  it('restores the signals', async () => {
    const report = await messageOf(
      runCode(`${PRELUDE}
        const signals = () => require('fs').readFileSync('/proc/self/status', 'utf8').match(/^Sig(Cgt|Ign|Blk).*$/gm);
        const before = signals();
        profiler.start();
        const during = signals();
        burn(50);
        profiler.stop().then(() => {
          process.send({ before, during, after: signals() });
          process.disconnect();
        });
      `),
    );
    assert.deepEqual(report.after, report.before);
    assert.notDeepEqual(report.during, report.before);
  });

  it('reports metrics as plain numbers, and its clock', async () => {
    const profiler = new CpuProfiler({ intervalMicros: 1_000 });
    profiler.start();
    for (let i = 0; i < 20; i++) new Function(`return ${i}`)();
    burnSampled(100);
    await profiler.collect();
    const { clock, clockRefusal, ...metrics } = profiler.metrics();
    await profiler.stop();
    assert.equal(profiler.metrics().clock, clock, 'after stop()');
    assert.equal(profiler.metrics().clockRefusal, clockRefusal, 'after stop()');
    assert.ok(
      clockRefusal === '' ? clock === 'perf' : clock === 'tick',
      `${clock} ${clockRefusal}`,
    );
    for (const [name, value] of Object.entries(metrics)) {
      assert.ok(Number.isFinite(value) && value >= 0, `${name} is ${value}`);
    }
    assert.ok(metrics.signals > 0 && metrics.samples > 0 && metrics.handlerNanos > 0);
    assert.equal(metrics.droppedSamples, 0);
    // Only the code that samples have hit, and V8 is not listened to for it.
    assert.ok(metrics.codeEntries > 0 && metrics.codeEntries < 1_000, `${metrics.codeEntries}`);
    assert.ok(metrics.codeBytes > 0);
    assert.equal(metrics.jitEventNanos, 0);
  });
});

describe('a clock that the system refuses', function () {
  this.timeout(20_000);
  this.slow(5_000);
  const ofApplication = () => {};
  let log;
  // The task clock's signal: this is one of the ways in which it can be missing.
  beforeEach(() => {
    process.on('SIGURG', ofApplication);
    log = logDiag();
  });
  afterEach(() => {
    process.off('SIGURG', ofApplication);
    log.close();
  });

  it('is reported once, with the reason, and samples are taken at ticks', async () => {
    const profiler = new CpuProfiler({ intervalMicros: 1_000, clock: 'perf' });
    for (let i = 0; i < 2; i++) {
      profiler.start();
      await clockInUse(profiler, 'perf');
      burnSampled(50);
      const { clock, clockRefusal, samples } = profiler.metrics();
      assert.equal(clock, 'tick');
      assert.notEqual(clockRefusal, '');
      assert.ok(samples > 0);
      readProfile(await profiler.stop());
      assert.deepEqual(log.messages, [
        `otelpyroscope: the system refuses the clock "perf" (${clockRefusal}): samples are taken at its ticks`,
      ]);
    }
  });

  it('is not reported where nobody has asked for it', async () => {
    const profiler = new CpuProfiler();
    profiler.start();
    await clockInUse(profiler, 'auto');
    assert.equal(profiler.metrics().clock, 'tick');
    await profiler.stop();
    assert.deepEqual(log.messages, []);
  });
});

describe('the end of a profiled process', function () {
  this.timeout(120_000);
  this.slow(20_000);

  /** Code that ends the child, and the exit code and signal that its parent must get. */
  const ends = {
    'process.exit': ['process.exit(3)', 3, null],
    'process.exit in a promise': ['Promise.resolve().then(() => process.exit(4))', 4, null],
    'process.reallyExit': ['process.reallyExit(5)', 5, null],
    'nothing left to do': ['', 0, null],
    'an uncaught exception': ["throw new Error('planned')", 1, null],
    'an unhandled rejection': ["Promise.reject(new Error('planned'))", 1, null],
    'process.exit in an exit listener': [
      "process.on('exit', () => { burn(20); process.exit(6); })",
      6,
      null,
    ],
    'process.abort': ['process.abort()', null, 'SIGABRT'],
    SIGTERM: [
      "process.kill(process.pid, 'SIGTERM'); setInterval(() => burn(5), 1)",
      null,
      'SIGTERM',
    ],
    SIGKILL: [
      "process.kill(process.pid, 'SIGKILL'); setInterval(() => burn(5), 1)",
      null,
      'SIGKILL',
    ],
  };
  for (const [name, [code, exitCode, signal]] of Object.entries(ends)) {
    it(`is the same as without a profiler, by ${name}`, async () => {
      for (const label of ['burn(30);', 'withLabels({ a: "b" }, () => burn(30));']) {
        const ended = await runCode(
          `${PRELUDE} process.disconnect(); profiler.start(); ${label} ${code}`,
        );
        assert.deepEqual([ended.code, ended.signal], [exitCode, signal], ended.stderr);
        assert.equal(/planned/.test(ended.stderr), code.includes('planned'));
      }
    });
  }

  it('is clean with work in the thread pool, timers and a collect under way', async () => {
    for (let i = 0; i < 10; i++) {
      const ended = await runCode(`${PRELUDE}
        process.disconnect();
        profiler.start();
        for (let i = 0; i < 8; i++) require('crypto').pbkdf2('a', 'b', 20_000, 32, 'sha512', () => {});
        setInterval(() => burn(2), 1);
        profiler.collect();
        setTimeout(() => process.exit(7), ${20 + 5 * i});
      `);
      assert.deepEqual([ended.code, ended.signal], [7, null], ended.stderr);
    }
  });

  it('is clean after workers that start, run and are terminated while they are profiled', async () => {
    const ended = await runCode(`${PRELUDE}
      const { Worker } = require('worker_threads');
      const source = ${JSON.stringify(`${PRELUDE} profiler.start(); require('worker_threads').parentPort.postMessage(1); setInterval(() => withLabels({ w: 'x' }, () => burn(3)), 1);`)};
      process.disconnect();
      profiler.start();
      (async () => {
        for (let round = 0; round < 6; round++) {
          const workers = Array.from({ length: 4 }, () => new Worker(source, { eval: true }));
          await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('message', resolve))));
          burn(20);
          await Promise.all(workers.map((worker) => worker.terminate()));
        }
        await profiler.stop();
        process.exit(8);
      })();
    `);
    assert.deepEqual([ended.code, ended.signal], [8, null], ended.stderr);
  });
});

describe('a profiler beside others in the same process', function () {
  this.timeout(60_000);
  this.slow(10_000);

  it('shares labels and sampler with a second copy of the package', async () => {
    const copy = mkdtempSync(path.join(os.tmpdir(), 'second-copy-'));
    try {
      for (const part of ['package.json', 'lib', 'prebuilds']) {
        cpSync(path.join(ROOT, part), path.join(copy, part), { recursive: true });
      }
      symlinkSync(path.join(ROOT, 'node_modules'), path.join(copy, 'node_modules'));
      const report = await messageOf(
        runCode(`${PRELUDE}
          const second = require(${JSON.stringify(copy)});
          const other = new second.CpuProfiler({ intervalMicros: 1_000 });
          (async () => {
            profiler.start();
            other.start();
            const seen = withLabels({ first: '1' }, () => second.withLabels({ second: '2' }, () => (burnSampled(100), getLabels())));
            const profile = readProfile(await profiler.stop());
            second.withLabels({ third: '3' }, () => burnSampled(100));
            const otherProfile = readProfile(await other.stop());
            const labelled = (of, name) => of.nanos((sample) => name in sample.labels) / 1e6;
            process.send({
              different: second.CpuProfiler !== CpuProfiler,
              seen,
              both: [labelled(profile, 'first'), labelled(otherProfile, 'second')],
              third: labelled(otherProfile, 'third'),
            });
            process.disconnect();
          })();
        `),
      );
      assert.equal(report.different, true);
      assert.deepEqual(report.seen, { first: '1', second: '2' });
      for (const ms of [...report.both, report.third]) assert.ok(ms > 20, `${ms} ms`);
    } finally {
      rmSync(copy, { recursive: true });
    }
  });

  const inspector = `
    const session = new (require('inspector').Session)();
    session.connect();
    const post = (method) => new Promise((resolve, reject) => session.post(method, (error, result) => (error ? reject(error) : resolve(result))));
  `;
  const orders = {
    'started before and stopped before ours': [
      'theirs+',
      'ours+',
      'burn',
      'theirs-',
      'burn',
      'ours-',
    ],
    'started after and stopped before ours': [
      'ours+',
      'theirs+',
      'burn',
      'theirs-',
      'burn',
      'ours-',
    ],
    'started before and stopped after ours': [
      'theirs+',
      'ours+',
      'burn',
      'ours-',
      'unseen',
      'theirs-',
    ],
    'started after and stopped after ours': [
      'ours+',
      'theirs+',
      'burn',
      'ours-',
      'unseen',
      'theirs-',
    ],
  };
  const steps = {
    'theirs+': "await post('Profiler.enable'); await post('Profiler.start');",
    'theirs-': "theirs = (await post('Profiler.stop')).profile;",
    'ours+': 'profiler.start();',
    'ours-': 'ours = readProfile(await profiler.stop());',
    unseen: 'burn(150);',
    burn: 'withLabels({ who: "me" }, () => burnSampled(150));',
  };
  for (const [order, names] of Object.entries(orders)) {
    it(`works beside V8's own profiler, ${order}`, async () => {
      const report = await messageOf(
        runCode(`${PRELUDE} ${inspector}
          (async () => {
            let ours, theirs;
            ${names.map((name) => steps[name]).join('\n')}
            process.send({
              ours: ours.sampledShare('burn'),
              labelled: ours.nanos((sample) => sample.labels.who === 'me') / ours.sampledNanos,
              theirs: theirs.nodes.some((node) => node.callFrame.functionName === 'burn'),
            });
            process.disconnect();
          })();
        `),
      );
      assert.ok(report.ours > 0.5, `burn has ${report.ours}`);
      assert.ok(report.labelled > 0.5, `labelled are ${report.labelled}`);
      assert.equal(report.theirs, true);
    });
  }
});

function burnFirst() {
  burnSampled(120);
}
function burnSecond() {
  burnSampled(120);
}
function burnThird() {
  burnSampled(120);
}
