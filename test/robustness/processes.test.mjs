/** Processes that a profiled one starts, and becomes. */

import assert from 'node:assert/strict';
import { runNode } from '../support/run-child.mjs';
import { buildAddon, buildPreload } from './build.mjs';
import {
  ALL,
  NODE_MAJOR,
  program,
  SECONDS,
  survives,
  timeoutOf,
  torture,
  tortures,
} from './torture.mjs';

const PROCESSES = program('processes.mjs');
const EXECVE = program('execve.cjs');
const SPAWNS = program('spawns.mjs');

tortures('torture by processes', function () {
  torture('is survived: a storm of child processes', { short: true }, async () => {
    const { ends } = await survives([PROCESSES, String(SECONDS / 2)]);
    for (const end of Object.keys(ends)) assert.match(end, /: (7|ENOENT)$/, JSON.stringify(ends));
    assert.equal(Object.keys(ends).length, 8, JSON.stringify(ends));
  });

  const children = ALL ? 2_000 : 60;
  torture(`is survived: ${children} child processes`, { short: true }, async () => {
    const { ends } = await survives([SPAWNS, String(children)], { limits: { cpu: 0.1 } });
    assert.deepEqual(Object.keys(ends), ['7']);
    assert.ok(ends[7] >= children);
  });

  // Its signal would end that program, which has no handler: the kernel must drop those that wait.
  const becomes = ALL ? 150 : 4;
  for (const way of ['process.execve', 'an addon']) {
    if (way === 'process.execve' && typeof process.execve !== 'function') continue;
    torture(
      `is survived: ${becomes} programs that it becomes by ${way}`,
      { short: true },
      async () => {
        const { code, signal, stderr } = await runNode([EXECVE, String(becomes), way], {
          env: { TORTURE_ADDON: await buildAddon('system-calls') },
          timeoutMs: timeoutOf(becomes),
        });
        assert.deepEqual([code, signal], [7, null], stderr);
      },
    );
  }

  // Node 26 runs no hook of native code any more.
  if (typeof process.execve === 'function' && NODE_MAJOR < 26) {
    torture('leaves no timer to the program that it becomes', { short: true }, async () => {
      const { code, signal, stdout, stderr } = await runNode(
        [EXECVE, ALL ? '20' : '2', 'process.execve'],
        {
          env: { LD_PRELOAD: await buildPreload(), TORTURE_EXEC_REPORT: '1' },
        },
      );
      assert.deepEqual([code, signal], [7, null], stderr);
      // Its signal would end that program: it has no handler.
      const timers = [...stdout.matchAll(/timers=(\d+)/g)].map((match) => match[1]);
      assert.ok(timers.length > 0);
      assert.deepEqual([...new Set(timers)], ['0']);
    });
  }
});
