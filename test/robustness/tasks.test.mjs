/** Tortures the package by very many async contexts, spans, starts and workers. */

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { buildAddon, buildPreload } from './build.mjs';
import { ALL, program, reportOf, torture, tortures } from './torture.mjs';

const TASKS = program('tasks.mjs');
const SPANS = program('nested-spans.mjs');
const STARTS = program('starts.mjs');
const CHURN = fileURLToPath(new URL('../integration/fixtures/workers/churn.mjs', import.meta.url));
/** LABEL_TABLE_SIZE. */
const TABLE = 32_768;
/** More than a full table of label sets takes, less than the async contexts of any case. */
const KEPT_BYTES = 48 << 20;
/**
 * Bytes that three quarters of all starts may leave in V8's heap, and in malloc's. Of 5,000 starts, a
 * leak of one kilobyte each would leave more. The work itself leaves less than 2 MB in each; the
 * label table keeps the last 32,768 label sets, which is 0.4 kB a round. Resident memory says
 * nothing: the same work without a profiler grows by 80 MB, and by 160 MB in 10,000 rounds.
 */
const LEFT_HEAP_BYTES = 3.6e6;
const LEFT_ALLOCATED_BYTES = 3e6;
/** For the cases of thousands on a busy machine. */
const LONG_MS = 1_800_000;

tortures('torture by numbers', function () {
  for (const [flags, tasks, short] of [
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
    torture(
      `is survived: ${tasks} async contexts at once ${flags.join(' ')}`,
      { short },
      async () => {
        const report = await reportOf(['--expose-gc', ...flags, TASKS, String(tasks)], {
          timeoutMs: 200_000,
        });
        const text = JSON.stringify(report);
        assert.equal(report.strayed, 0, text);
        assert.equal(report.wrongSpans, 0, text);
        assert.ok(report.spans > 0, text);
        assert.ok(report.kept >= 3 * Math.min(tasks, TABLE / 2), text);
        assert.equal(report.kept + report.lost, 3 * tasks, text);
        if (tasks < TABLE) assert.equal(report.lost, 0, text);
        assert.ok(report.activeLabelSets < 100, text);
        assert.ok(report.after < report.before + KEPT_BYTES, `memory is not given back: ${text}`);
      },
    );
  }

  const spans = ALL ? 255_000 : 5_000;
  torture(`is survived: ${spans} nested spans, with exceptions`, { short: true }, async () => {
    const report = await reportOf([SPANS, String(spans)], { timeoutMs: 300_000 });
    const text = JSON.stringify(report);
    assert.ok(report.spans >= spans && report.exceptions > spans / 10, text);
    assert.equal(report.strayed, 0, text);
    assert.deepEqual([report.wrongSpans, report.wrongNumber], [[], 0], text);
    assert.ok(report.checked > spans / 100, text);
  });

  const starts = ALL ? 5_000 : 40;
  torture(`is survived: ${starts} starts and stops`, { short: true }, async function () {
    this.timeout(LONG_MS);
    // Two of three begin twice.
    const rounds = Math.ceil((starts * 3) / 5);
    const report = await reportOf(['--expose-gc', STARTS, await buildAddon(), String(rounds)], {
      timeoutMs: LONG_MS,
    });
    const text = JSON.stringify(report);
    assert.ok(report.starts >= starts - 1 && report.samples > starts / 10, text);
    assert.deepEqual(report.wrong, [], text);
    const { heapUsed, allocated, ...left } = report.left;
    assert.deepEqual(left, { signals: true, timers: 0, files: 0 }, text);
    assert.ok(heapUsed < LEFT_HEAP_BYTES && allocated < LEFT_ALLOCATED_BYTES, text);
  });

  torture(
    'is survived: 3000 workers, terminated at random while it collects',
    {},
    async function () {
      this.timeout(LONG_MS);
      const report = await reportOf([CHURN, '3000', '600'], { timeoutMs: LONG_MS });
      const text = JSON.stringify(report);
      assert.ok(report.started === 3_000 && report.terminated > 2_000, text);
      assert.deepEqual([report.problems, report.wrong], [[], []], text);
      const { burntMicros, labelledMicros } = report;
      assert.ok(labelledMicros.terminated >= burntMicros.terminated * 0.95, text);
      const { profileMicros, processMicros } = report;
      assert.ok(Math.abs(profileMicros - processMicros) <= processMicros * 0.02, text);
    },
  );

  torture('is survived: workers that come and go under a storm', {}, async () => {
    const report = await reportOf([CHURN, '60'], {
      timeoutMs: 240_000,
      env: { LD_PRELOAD: await buildPreload(), TORTURE_STORM_MICROS: '300' },
    });
    assert.equal(report.started, 60);
    assert.deepEqual([report.problems, report.wrong], [[], []]);
    assert.ok(report.finished > 0 && report.terminated > 0);
  });

  torture('is survived: workers that come and go', {}, async () => {
    const report = await reportOf(['--stress-compaction', CHURN, '60'], { timeoutMs: 240_000 });
    assert.deepEqual([report.problems, report.wrong], [[], []]);
  });
});
