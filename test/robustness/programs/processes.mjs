/** Starts child processes in every way while it is profiled. Argument: seconds of CPU. */

import { exec, execFileSync, fork, spawn, spawnSync } from 'node:child_process';
import cluster from 'node:cluster';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { withLabels } from 'otelpyroscope';
import { processMicros } from '../../support/thread-cpu.mjs';
import { Tortured } from './harness.mjs';
import { KINDS } from './work.mjs';

const SELF = fileURLToPath(import.meta.url);
const BURN = 'i=0; while [ $i -lt 2000 ]; do i=$((i+1)); done; exit 7';

if (process.argv[2] === 'child' || cluster.isWorker) {
  // A profile of its own, beside its parent's.
  const tortured = new Tortured();
  tortured.start();
  withLabels({ task: 'garbage' }, () => KINDS.garbage());
  await tortured.stop();
  process.exit(7);
} else {
  const ends = {};
  const note = (way, code, signal) => {
    const end = `${way}: ${signal ?? code}`;
    ends[end] = (ends[end] ?? 0) + 1;
  };
  const ways = {
    spawn: async () => note('spawn', ...(await once(spawn('sh', ['-c', BURN]), 'exit'))),
    detached: async () =>
      note(
        'detached',
        ...(await once(spawn('sh', ['-c', BURN], { detached: true, stdio: 'ignore' }), 'exit')),
      ),
    exec: () =>
      new Promise((resolve) =>
        exec(BURN, (error) => resolve(note('exec', error.code, error.signal))),
      ),
    spawnSync: () => {
      const { status, signal } = spawnSync('sh', ['-c', BURN]);
      note('spawnSync', status, signal);
    },
    execFileSync: () => {
      try {
        execFileSync('sh', ['-c', BURN], { stdio: 'ignore' });
      } catch (error) {
        note('execFileSync', error.status, error.signal);
      }
    },
    nowhere: () => note('nowhere', spawnSync('/nowhere').error.code, null),
  };
  const slow = {
    fork: async () => note('fork', ...(await once(fork(SELF, ['child']), 'exit'))),
    cluster: async () => {
      cluster.setupPrimary({ exec: SELF });
      note('cluster', ...(await once(cluster.fork(), 'exit')));
    },
  };
  const end = processMicros() + Number(process.argv[2]) * 1e6;
  const tortured = new Tortured();
  tortured.start();
  await withLabels({ task: 'processes' }, async function task_processes() {
    await Promise.all(Object.values(slow).map((way) => way()));
    while (processMicros() < end) {
      await Promise.all(Object.values(ways).map(async (way) => way()));
      KINDS.garbage();
    }
  });
  await tortured.send({ ends });
}
