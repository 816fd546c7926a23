/** Starts child processes by the thousand while it is profiled. Argument: how many. */

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { withLabels } from 'otelpyroscope';
import { Tortured } from './harness.mjs';
import { KINDS } from './work.mjs';

const total = Number(process.argv[2]);
const AT_ONCE = 5;
const COLLECT_EVERY = 100;
const COMMAND = ['sh', ['-c', 'exit 7'], { stdio: 'ignore' }];

const ends = {};
const note = (end) => (ends[end] = (ends[end] ?? 0) + 1);

async function run() {
  try {
    const [code, signal] = await once(spawn(...COMMAND), 'exit');
    note(signal ?? code);
  } catch (error) {
    note(error.code);
  }
}

const tortured = new Tortured();
tortured.start();
await withLabels({ task: 'spawns' }, async function task_spawns() {
  for (let done = 0; done < total; done += AT_ONCE + 1) {
    const running = Array.from({ length: AT_ONCE }, run);
    const { status, signal, error } = spawnSync(...COMMAND);
    note(error?.code ?? signal ?? status);
    KINDS.garbage();
    await Promise.all(running);
    if (done % COLLECT_EVERY < AT_ONCE + 1) await tortured.collect();
  }
});
await tortured.send({ ends });
