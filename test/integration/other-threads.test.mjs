/** The profile's total is the CPU of the process, whichever of its threads has used it. */

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { messageOf, runNode } from '../support/run-child.mjs';

const SCENES = fileURLToPath(new URL('fixtures/workers/scenes.mjs', import.meta.url));
const TOTAL_LIMIT = 0.02;

describe('CPU of other threads', function () {
  this.timeout(60_000);
  this.slow(20_000);

  const cases = {
    // V8's compilers and collectors.
    single: ['little where one thread works', (share) => share < 0.2],
    pool: ['nearly all where the thread pool works', (share) => share > 0.85],

    workers: ['little where four workers work', (share) => share < 0.3],
  };
  for (const [name, [title, isRight]] of Object.entries(cases)) {
    it(`is ${title}, and the total is right`, async () => {
      const report = await messageOf(runNode([SCENES, name]));
      const { samples, cpuMicros, profileMicros } = report;
      assert.ok(
        Math.abs(profileMicros - cpuMicros) <= cpuMicros * TOTAL_LIMIT,
        `profile ${profileMicros} µs, process ${cpuMicros} µs`,
      );
      const others = samples.filter(({ leaf }) => leaf === '(other threads)');
      for (const { labels } of others) assert.deepEqual(labels, {});
      const othersMicros = others.reduce((sum, { micros }) => sum + micros, 0);
      assert.ok(isRight(othersMicros / profileMicros), `${othersMicros} of ${profileMicros} µs`);
    });
  }
});
