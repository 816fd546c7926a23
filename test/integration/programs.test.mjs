/** Profiles of real programs: hardly any frame without a name, nearly all JavaScript with a file. */

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { messageOf, runNode } from '../support/run-child.mjs';

const PROFILED = fileURLToPath(new URL('fixtures/programs/profiled.mjs', import.meta.url));

describe('profiles of real programs', function () {
  this.timeout(90_000);
  this.slow(30_000);

  const programs = {
    'TypeScript compiling': ['./compile.mjs', 3],
    'an Express service under load': ['./service.mjs', 2.5],
    'a compute suite': ['./compute.mjs', 2.5],
  };
  for (const [name, [file, seconds]] of Object.entries(programs)) {
    it(`name the frames of ${name}`, async () => {
      const report = await messageOf(
        runNode([PROFILED, file, String(seconds)], { timeoutMs: 80_000 }),
      );
      const { metrics } = report;
      assert.ok(report.javaScriptNanos > 0.3e9, JSON.stringify(report));
      assert.ok(metrics.unresolvedFrames <= 0.01 * metrics.samples, JSON.stringify(report));
      assert.ok(report.unresolved <= 0.01, JSON.stringify(report));
      assert.ok(report.withFile >= 0.95, JSON.stringify(report));
      assert.ok(metrics.inlinedFrames > 0, 'nothing was inlined');
      assert.equal(metrics.layoutFallbacks, 0);
      console.log(
        `        ${(100 * report.unresolved).toFixed(2)} % unresolved, ` +
          `${(100 * report.withFile).toFixed(1)} % of JavaScript with a file`,
      );
    });
  }
});
