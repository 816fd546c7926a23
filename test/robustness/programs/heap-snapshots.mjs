/**
 * Takes heap snapshots in a loop beside work that makes code and garbage.
 * Argument: seconds of CPU.
 */

import { mkdtempSync, rmSync, statSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { writeHeapSnapshot } from 'node:v8';
import { withLabels } from 'otelpyroscope';
import { processMicros } from '../../support/thread-cpu.mjs';
import { Tortured } from './harness.mjs';
import { KINDS } from './work.mjs';

const end = processMicros() + Number(process.argv[2]) * 1e6;
const KINDS_OF_WORK = ['garbage', 'code', 'builtins', 'hops', 'deopt'];
let snapshots = 0;
let smallest = Infinity;

const directory = mkdtempSync(path.join(os.tmpdir(), 'snapshots-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));

/** Made and written in one turn of the loop. */
function task_snapshots() {
  const file = writeHeapSnapshot(path.join(directory, 'one.heapsnapshot'));
  snapshots++;
  smallest = Math.min(smallest, statSync(file).size);
}

const tortured = new Tortured();
await tortured.run(
  () =>
    Promise.all([
      withLabels({ task: 'snapshots' }, async () => {
        while (processMicros() < end) {
          task_snapshots();
          await turn();
        }
      }),
      ...KINDS_OF_WORK.map((kind) =>
        withLabels({ task: kind }, async () => {
          while (processMicros() < end) {
            await KINDS[kind]();
            await turn();
          }
        }),
      ),
    ]),
  () => ({ snapshots, smallest }),
);
