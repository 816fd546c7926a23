/** Samples keep their stacks beside other profilers, whose signal handlers ours interrupts. */

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { needsGlibc } from '../support/needs.mjs';
import { messageOf, runNode } from '../support/run-child.mjs';

const PROGRAM = fileURLToPath(new URL('fixtures/other-profilers.cjs', import.meta.url));

describe('Samples beside another profiler', function () {
  this.timeout(60_000);
  this.slow(5_000);

  const keepTheirStack = async (profiler) => {
    const { share, samples, theirs } = await messageOf(runNode([PROGRAM, profiler]));
    assert.ok(theirs > 20, `it took ${theirs} samples`);
    assert.ok(samples > 20, `${samples} samples beside it`);
    assert.ok(share >= 0.95, `${share} of the CPU has its stack`);
  };

  it("keep their stack while Datadog's samples every millisecond", async function () {
    needsGlibc('@datadog/pprof', this);
    await keepTheirStack('datadog');
  });

  it("keep their stack while Node.js's own samples every millisecond", async () => {
    await keepTheirStack('inspector');
  });
});
