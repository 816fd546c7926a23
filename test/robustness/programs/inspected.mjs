/**
 * Works while ./inspector-client.mjs, a process of its own, profiles it, counts what it covers, and
 * stops it at breakpoints. Argument: how many breakpoints.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import inspector from 'node:inspector';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { withLabels } from 'otelpyroscope';
import { Tortured } from './harness.mjs';
import { KINDS } from './work.mjs';

const KINDS_OF_WORK = ['garbage', 'code', 'builtins', 'hops'];
const CLIENT = fileURLToPath(new URL('inspector-client.mjs', import.meta.url));
/** The client stops in its first line. */
function task_stopped(n) {
  const twice = n * 2;
  return KINDS.builtins() + twice;
}

inspector.open(0, '127.0.0.1');
const flags = globalThis.WebSocket === undefined ? ['--experimental-websocket'] : [];
const lines = ['const twice = n * 2;', inspector.url(), import.meta.url, process.argv[2]];
const client = spawn(process.execPath, [...flags, CLIENT, ...lines], {
  stdio: ['ignore', 'pipe', 'inherit'],
});
let text = '';
client.stdout.on('data', (chunk) => (text += chunk));
let over = false;
const ended = once(client, 'close').then(([code]) => {
  over = true;
  return code;
});

const tortured = new Tortured();
await tortured.run(
  () =>
    Promise.all([
      withLabels({ task: 'stopped' }, async () => {
        for (let i = 0; !over; i++) {
          task_stopped(i);
          await turn();
        }
      }),
      ...KINDS_OF_WORK.map((kind) =>
        withLabels({ task: kind }, async () => {
          while (!over) {
            await KINDS[kind]();
            await turn();
          }
        }),
      ),
      ended,
    ]),
  () => ({ client: { ...JSON.parse(text || '{}'), code: client.exitCode } }),
);
inspector.close();
