/**
 * Takes heap snapshots in a loop beside work that makes code and garbage.
 * Argument: seconds of CPU.
 */

import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import { getHeapSnapshot } from 'node:v8';
import { withLabels } from 'otelpyroscope';
import { processMicros } from '../../support/thread-cpu.mjs';
import { Tortured } from './harness.mjs';
import { KINDS } from './work.mjs';

const end = processMicros() + Number(process.argv[2]) * 1e6;
const KINDS_OF_WORK = ['garbage', 'code', 'builtins', 'hops', 'deopt'];
let snapshots = 0;
let smallest = Infinity;

async function flow_snapshots() {
  let bytes = 0;
  const snapshot = getHeapSnapshot().on('data', (chunk) => (bytes += chunk.length));
  await once(snapshot, 'end');
  snapshots++;
  smallest = Math.min(smallest, bytes);
}

const tortured = new Tortured();
await tortured.run(
  () =>
    Promise.all([
      withLabels({ flow: 'snapshots' }, async () => {
        while (processMicros() < end) {
          await flow_snapshots();
          await turn();
        }
      }),
      ...KINDS_OF_WORK.map((kind) =>
        withLabels({ flow: kind }, async () => {
          while (processMicros() < end) {
            await KINDS[kind]();
            await turn();
          }
        }),
      ),
    ]),
  () => ({ snapshots, smallest }),
);
