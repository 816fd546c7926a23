/**
 * Labels stay right and nothing crashes while the collector moves everything it can.
 * `STRESS_SECONDS` sets the length of each case; `npm run stress` runs a minute of each.
 */

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { messageOf, runNode } from '../support/run-child.mjs';

const FIXTURE = fileURLToPath(new URL('fixtures/stress/gc.mjs', import.meta.url));
const SECONDS = Number(process.env.STRESS_SECONDS ?? 4);
/** Samples of labelled functions that may be without their label, as a fraction. */
const MISSING_LIMIT = 0.001;

const cases = {
  'an eval storm': [],
  '--stress-compaction': ['--stress-compaction'],
  '--random-gc-interval': ['--random-gc-interval=2000'],
  'forced collections': ['--expose-gc'],
  '--stress-scavenge and --stress-incremental-marking': [
    '--stress-scavenge=50',
    '--stress-incremental-marking',
  ],
  'a tiny young generation': ['--max-semi-space-size=1', '--stress-compaction'],
};

describe('labels under GC stress', function () {
  this.timeout((SECONDS + 60) * 1_000);
  this.slow((SECONDS + 10) * 1_000);

  for (const [name, flags] of Object.entries(cases)) {
    it(`are right with ${name}`, async () => {
      const report = await messageOf(
        runNode([...flags, FIXTURE, String(SECONDS)], { timeoutMs: (SECONDS + 50) * 1_000 }),
      );
      if (process.env.STRESS_SECONDS) console.log(name, JSON.stringify(report));
      assert.deepEqual(report.wrong, []);
      assert.equal(report.strayed, 0);
      assert.ok(
        report.missing <= report.labelled * MISSING_LIMIT,
        `${report.missing} of ${report.labelled} samples miss their label`,
      );
      assert.ok(report.labelled > SECONDS * 20, `only ${report.labelled} labelled samples`);
      assert.equal(report.metrics.droppedSamples, 0);
    });
  }
});
