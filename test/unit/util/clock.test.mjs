/** Fake clocks of tests, installed after this package or before it, do not stop the profiler and the agent. */
import assert from 'node:assert/strict';
import { PyroscopeServer } from '../../support/pyroscope-server.mjs';
import { readProfile } from '../../support/read-profile.mjs';
import { messageOf, runCode } from '../../support/run-child.mjs';

/** Functions that a fake clock replaces where tests use streams: all but ticks and microtasks. */
const WITHOUT_TICKS = [
  'setTimeout',
  'setImmediate',
  'setInterval',
  'Date',
  'hrtime',
  'performance',
];

/** The code of a process that installs fake clocks, and sends what the package did beside them. */
const program = (order, serverAddress) => `
  const FakeTimers = require('@sinonjs/fake-timers');
  const began = Date.now();
  const burn = () => {
    for (const begin = process.cpuUsage(); ; ) {
      const { user, system } = process.cpuUsage(begin);
      if (user + system > 100_000) return;
    }
  };
  let clock;
  const load = () => require('otelpyroscope');
  const install = () => (clock = FakeTimers.install({ now: 0 }));
  const steps = ${order === 'before' ? '[load, install]' : '[install, load]'};
  const results = steps.map((step) => step());
  const { CpuProfiler, startPyroscope } = results.find((result) => result.CpuProfiler);
  (async () => {
    const profiler = new CpuProfiler({ intervalMicros: 1_000 });
    profiler.start();
    burn();
    const windows = [await profiler.collect(), await profiler.stop()];
    clock.uninstall();
    clock = FakeTimers.install({ now: 0, toFake: ${JSON.stringify(WITHOUT_TICKS)} });
    const agent = startPyroscope({ serverAddress: ${JSON.stringify(serverAddress)}, applicationName: 'fake' });
    burn();
    await agent.stop();
    const timers = clock.countTimers();
    const { uploads } = agent.metrics();
    clock.uninstall();
    const elapsed = Date.now() - began;
    const base64 = windows.map((bytes) => Buffer.from(bytes).toString('base64'));
    process.send({ windows: base64, timers, uploads, began, elapsed });
  })();`;

describe('a fake clock', function () {
  this.timeout(60_000);
  let server;
  beforeEach(async () => (server = await PyroscopeServer.start()));
  afterEach(() => server.close());

  for (const order of ['before', 'after']) {
    it(`that is installed ${order === 'before' ? 'after' : 'before'} the package is loaded stops nothing of it`, async () => {
      const report = await messageOf(
        runCode(program(order, server.url), { timeoutMs: 20_000, flags: process.execArgv }),
      );
      const [first] = await Promise.all(
        report.windows.map((text) => readProfile(Buffer.from(text, 'base64'))),
      );
      const startMs = first.timeNanos / 1e6;
      assert.ok(startMs >= report.began && startMs <= report.began + report.elapsed);
      assert.ok(first.durationNanos >= 50e6, `${first.durationNanos} ns`);
      assert.equal(report.uploads, 1);
      assert.deepEqual(server.complaints, []);
      assert.equal(report.timers, 0);
    });
  }
});
