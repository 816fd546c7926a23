/** Other tools in the same process, in every order of starting and stopping. */

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ALL, knownFlags, program, SECONDS, survives, torture, tortures } from './torture.mjs';

const OTHERS = program('others.mjs');
const MIX = program('mix.mjs');
const SNAPSHOTS = program('heap-snapshots.mjs');
const INSPECTED = program('inspected.mjs');

const orders = {
  'around ours': 'theirs+,ours+,work,ours-,work,theirs-',
  'inside ours': 'ours+,work,theirs+,work,theirs-,work,ours-',
  'begun before, stopped before': 'theirs+,work,ours+,work,theirs-,work,ours-',
  'begun after, stopped after': 'ours+,work,theirs+,work,ours-,work,theirs-',
  'again and again':
    'ours+,theirs+,work,theirs-,theirs+,work,theirs-,work,theirs+,work,theirs-,ours-',
};
const tools = ['V8 profiler', 'Datadog', 'coverage', 'heap sampling', 'heap snapshots', 'debugger'];
const isShort = (tool, order) => tool === 'Datadog' && order === 'begun after, stopped after';

tortures('torture by other tools', function () {
  for (const tool of tools) {
    for (const [order, steps] of Object.entries(orders)) {
      torture(`is survived: ${tool}, ${order}`, { short: isShort(tool, order) }, async () => {
        const { theirsWorked } = await survives([OTHERS, tool, steps, String(SECONDS / 5)]);
        assert.equal(theirsWorked, steps.split('theirs-').length - 1);
      });
    }
  }

  torture('is survived: heap snapshots in a loop', { short: true }, async () => {
    const { snapshots, smallest } = await survives([SNAPSHOTS, String(2 * SECONDS)]);
    assert.ok(snapshots >= (ALL ? 3 : 1), `${snapshots} snapshots`);
    assert.ok(smallest > 1e6, `a snapshot of ${smallest} bytes`);
  });

  torture(
    'is survived: an inspector with a profile, coverage and breakpoints of its own',
    { short: true },
    async () => {
      const breakpoints = ALL ? 200 : 10;
      const { client } = await survives([INSPECTED, String(breakpoints)]);
      assert.deepEqual(client, {
        code: 0,
        paused: breakpoints,
        stepped: breakpoints,
        evaluated: breakpoints,
        covered: true,
        profiled: true,
      });
    },
  );

  /** Flags, and the files that they leave behind. */
  const flags = [
    [['--cpu-prof', '--cpu-prof-interval=500'], /\.cpuprofile$/, /task_garbage/],
    // This profile has objects that are alive at the end: few are garbage, and at 512 KiB none.
    [['--heap-prof', '--heap-prof-interval=1024'], /\.heapprofile$/, /"task_\w+"/],
    [['--prof', '--no-logfile-per-isolate'], /v8\.log$/, /task_garbage/],
    [['--perf-basic-prof'], /^perf-\d+\.map$/, /task_garbage/],
    [['--perf-basic-prof', '--interpreted-frames-native-stack'], /^perf-\d+\.map$/, /task_garbage/],
    [['--perf-prof'], /^jit-\d+\.dump$/, /task_garbage/],
    [
      ['--trace-event-categories=v8,disabled-by-default-v8.cpu_profiler'],
      /^node_trace.*\.log$/,
      /MinorGC/,
    ],
    [['--inspect=127.0.0.1:0'], undefined, undefined],
    [['--cpu-prof', '--perf-basic-prof'], /\.cpuprofile$/, /task_garbage/],
  ];
  for (const [given, file, holds] of flags.filter(([given]) => knownFlags(given))) {
    const name = given.join(' ');
    torture(`is survived: ${name}`, { short: given[1] === '--cpu-prof-interval=500' }, async () => {
      const directory = mkdtempSync(path.join(os.tmpdir(), 'torture-'));
      let map;
      try {
        // All but one are left in the working directory.
        const { pid } = await survives([...given, MIX, String(SECONDS)], { cwd: directory });
        map = path.join('/tmp', `perf-${pid}.map`);
        if (file === undefined) return;
        const left = readdirSync(directory)
          .map((found) => path.join(directory, found))
          .concat(existsSync(map) ? [map] : [])
          .filter((found) => file.test(path.basename(found)));
        assert.ok(left.length > 0, `${file} is not in ${readdirSync(directory)}`);
        assert.match(left.map((found) => readFileSync(found, 'latin1')).join(''), holds);
      } finally {
        rmSync(directory, { recursive: true });
        if (map !== undefined) rmSync(map, { force: true });
      }
    });
  }
});
