/** Samples keep their stacks beside other profilers, whose signal handlers ours interrupts. */

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { messageOf, runNode } from '../support/run-child.mjs';

const PROGRAM = fileURLToPath(new URL('fixtures/other-profilers.cjs', import.meta.url));

describe('Samples beside another profiler', function () {
  this.timeout(60_000);
  this.slow(5_000);

  it('keep their stack while it samples every millisecond', async () => {
    const report = await messageOf(runNode([PROGRAM]));
    for (const [profiler, { share, samples, theirs }] of Object.entries(report)) {
      assert.ok(theirs > 20, `${profiler} took ${theirs} samples`);
      assert.ok(samples > 20, `${samples} samples beside ${profiler}`);
      assert.ok(share >= 0.95, `${profiler}: ${share} of the CPU has its stack`);
    }
    assert.deepEqual(Object.keys(report), ['datadog', 'inspector']);
  });
});
