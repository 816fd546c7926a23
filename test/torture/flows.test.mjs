/** Very many flows, and very many workers. */

import assert from 'node:assert/strict';
import { messageOf, runNode } from '../support/run-child.mjs';
import { fileURLToPath } from 'node:url';
import { buildPreload } from './build.mjs';
import { count, program, torture, tortures } from './torture.mjs';

const FLOWS = program('flows.mjs');
const CHURN = fileURLToPath(new URL('../integration/fixtures/workers/churn.mjs', import.meta.url));
/** LABEL_TABLE_SIZE. */
const TABLE = 32_768;
/** More than a full table of label sets takes, less than the flows of any case. */
const KEPT_BYTES = 48 << 20;

tortures('torture by numbers', function () {
  for (const [flags, flows, short] of [
    [[], 30_000, true],
    [[], 100_000, false],
    [['--no-async-context-frame'], 100_000, false],
    [['--max-semi-space-size=1'], 40_000, false],
  ]) {
    if (
      !flags.every(
        (flag) =>
          flag !== '--no-async-context-frame' || process.allowedNodeEnvironmentFlags.has(flag),
      )
    ) {
      continue;
    }
    torture(`is survived: ${flows} flows at once ${flags.join(' ')}`, { short }, async () => {
      const report = await messageOf(
        runNode(['--expose-gc', ...flags, FLOWS, String(flows)], { timeoutMs: 200_000 }),
      );
      const text = JSON.stringify(report);
      count(report.metrics);
      assert.equal(report.strayed, 0, text);
      assert.equal(report.wrongSpans, 0, text);
      assert.ok(report.spans > 0, text);
      assert.ok(report.kept >= 3 * Math.min(flows, TABLE / 2), text);
      assert.equal(report.kept + report.lost, 3 * flows, text);
      if (flows < TABLE) assert.equal(report.lost, 0, text);
      assert.ok(report.activeLabelSets < 100, text);
      assert.ok(report.after < report.before + KEPT_BYTES, `memory is not given back: ${text}`);
    });
  }

  torture('is survived: workers that come and go under a storm', {}, async () => {
    const report = await messageOf(
      runNode([CHURN, '60'], {
        timeoutMs: 240_000,
        env: { LD_PRELOAD: await buildPreload(), TORTURE_STORM_MICROS: '300' },
      }),
    );
    assert.equal(report.started, 60);
    assert.deepEqual([report.problems, report.wrong], [[], []]);
    assert.ok(report.finished > 0 && report.terminated > 0);
  });

  torture('is survived: workers that come and go', {}, async () => {
    const report = await messageOf(
      runNode(['--stress-compaction', CHURN, '60'], { timeoutMs: 240_000 }),
    );
    assert.deepEqual([report.problems, report.wrong], [[], []]);
  });
});
