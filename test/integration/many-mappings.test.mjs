/** Starts in a process with tens of thousands of mappings: what they cost, and what they find. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { buildDirectory, compile, needsCompilerForNode } from '../native/toolchain.mjs';
import { messageOf, ROOT, runCode } from '../support/run-child.mjs';

const library = path.join(buildDirectory, 'many-mappings', 'many_mappings.so');

describe('a process with many mappings', function () {
  this.timeout(60_000);

  before(async function () {
    needsCompilerForNode(this);
    const source = path.join(ROOT, 'test/integration/fixtures/many_mappings.cc');
    await compile(library, [source], ['-O1', '-fPIC'], ['-shared']);
  });

  /** CPU of the first and the second start in ms, and the names of frames. */
  const starts = (pairs, flags = []) =>
    messageOf(
      runCode(
        `
        const { CpuProfiler } = require('otelpyroscope');
        const { readProfile } = require('./test/support/read-profile.cjs');
        const cpuMs = (fn) => {
          const { user, system } = process.cpuUsage();
          fn();
          const after = process.cpuUsage();
          return (after.user + after.system - user - system) / 1e3;
        };
        const mappings = require('fs').readFileSync('/proc/self/maps', 'latin1').split('\\n').length;
        const profiler = new CpuProfiler({ intervalMicros: 1_000 });
        const first = cpuMs(() => profiler.start());
        profiler.stop().then(async () => {
          const second = cpuMs(() => profiler.start());
          const until = process.cpuUsage().user + 300_000;
          const numbers = Array.from({ length: 1_000 }, (_, i) => i);
          while (process.cpuUsage().user < until) numbers.map(String).sort();
          const { unresolvedFrames } = profiler.metrics();
          const profile = readProfile(await profiler.stop());
          const names = new Set(profile.samples.flatMap(({ stack }) => stack.map(({ name }) => name)));
          process.send({ mappings, first, second, unresolvedFrames, names: [...names] });
          process.disconnect();
        });
      `,
        { flags, env: { LD_PRELOAD: library, MAPPING_PAIRS: String(pairs) } },
      ),
    );

  for (const [title, flags] of [
    ['with a copy of the builtins', []],
    ['without one', ['--max-old-space-size=512']],
  ]) {
    it(`starts the profiler as quickly as one with few, ${title}, and names builtins`, async function () {
      const few = await starts(0, flags);
      const many = await starts(20_000, flags);
      assert.ok(many.mappings > 40_000, `${many.mappings}`);
      for (const start of ['first', 'second']) {
        // The list of mappings alone takes 20 ms.
        assert.ok(many[start] < few[start] + 15, `${start}: ${many[start]}, ${few[start]} ms`);
      }
      for (const { names, unresolvedFrames } of [few, many]) {
        assert.equal(unresolvedFrames, 0);
        assert.ok(names.includes('ArrayMap'), names.join());
      }
    });
  }
});
