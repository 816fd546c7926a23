/**
 * Eight hours of a service in minutes: as many windows as a push agent takes in that time, over
 * HTTP load, spans of ten thousand requests, and workers that come and go. Says how memory grows,
 * and fails where a label is wrong.
 *
 *     node --expose-gc test/stress/day.mjs [windows, default 1920] [off]
 *
 * With `off` the same without a profiler, to compare: the program itself grows with each worker.
 */

import http from 'node:http';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { CpuProfiler, withLabels } from 'otelpyroscope';
import { readProfile } from '../support/read-profile.mjs';
import { processMicros } from '../support/thread-cpu.mjs';
import { KINDS } from '../torture/programs/work.mjs';

/** Of 15 s each. */
const windows = Number(process.argv[2] ?? 1_920);
const isOn = process.argv[3] !== 'off';
const WINDOW_MS = 250;
const CONNECTIONS = 8;
const WORKER = fileURLToPath(
  new URL('../integration/fixtures/workers/churn-worker.mjs', import.meta.url),
);
const MEGABYTE = 1 << 20;
// Not `code`: require() itself keeps a record of every load.
const ROUTES = ['garbage', 'deopt', 'builtins', 'hops', 'contexts', 'wasm'];

let requests = 0;
const server = http.createServer((request, response) => {
  const route = request.url.slice(1);
  const span_id = (++requests).toString(16).padStart(16, '0');
  withLabels({ flow: route, span_id }, async () => {
    await KINDS[route]();
    response.end(route);
  });
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address();
const agent = new http.Agent({ keepAlive: true, maxSockets: CONNECTIONS });

let over = false;
async function client(number) {
  for (let i = number; !over; i++) {
    const path = `/${ROUTES[i % ROUTES.length]}`;
    const request = http.get({ host: '127.0.0.1', port, path, agent });
    const [response] = await once(request, 'response');
    response.resume();
    await once(response, 'end');
    // A third of the time nothing is done.
    if (i % 3 === 0) await sleep(5);
  }
}

let workers = 0;
async function churn() {
  while (!over) {
    const worker = new Worker(WORKER, { workerData: { slot: workers++ % 8 } });
    if (workers % 3 === 0) setTimeout(() => worker.terminate(), 50 * (workers % 5));
    await once(worker, 'exit');
    await sleep(300);
  }
}

const profiler = new CpuProfiler({ intervalMicros: 1_000 });
const readings = [];
const totals = { samples: 0, labelled: 0, wrong: 0, profileMicros: 0, bytes: 0 };
function check(bytes) {
  const profile = readProfile(bytes);
  totals.bytes += bytes.length;
  totals.profileMicros += profile.totalNanos / 1e3;
  for (const { stack, labels, count } of profile.samples) {
    totals.samples += count;
    if (labels.flow === undefined) continue;
    totals.labelled += count;
    const flow = stack.findLast(({ name }) => /^flow_[a-z]+/.test(name))?.name;
    if (flow !== undefined && !flow.startsWith(`flow_${labels.flow}`)) totals.wrong += count;
  }
}

const begin = processMicros();
if (isOn) profiler.start();
const running = [churn(), ...Array.from({ length: CONNECTIONS }, (_, i) => client(i))];
for (let i = 0; i < windows; i++) {
  await sleep(WINDOW_MS);
  if (isOn) check(await profiler.collect());
  if (i % Math.ceil(windows / 24) !== 0 && i !== windows - 1) continue;
  globalThis.gc();
  const { rss, heapUsed } = process.memoryUsage();
  const { codeEntries, codeBytes, activeLabelSets, droppedSamples } = profiler.metrics();
  readings.push({ rss, heapUsed, requests });
  console.log(
    `${i + 1}: rss ${(rss / MEGABYTE).toFixed(1)} MiB, heap ${(heapUsed / MEGABYTE).toFixed(1)} MiB, ` +
      `${requests} requests, ${workers} workers, ${totals.samples} samples, ` +
      `code entries ${codeEntries} (${(codeBytes / MEGABYTE).toFixed(1)} MiB), ` +
      `label sets ${activeLabelSets}, dropped ${droppedSamples}`,
  );
}
over = true;
await Promise.all(running);
const micros = processMicros() - begin;
if (isOn) check(await profiler.stop());
server.close();
agent.destroy();

/** From a quarter on, when everything that is bounded may be full. */
const first = readings[Math.floor(readings.length / 4)];
const last = readings.at(-1);
for (const key of ['rss', 'heapUsed']) {
  const grown = (last[key] - first[key]) / MEGABYTE;
  const thousands = (last.requests - first.requests) / 1_000;
  console.log(`${key}: ${(grown / thousands).toFixed(2)} MiB for a thousand requests`);
}
console.log(`${process.version}: ${windows} windows, ${requests} requests, ${workers} workers,`);
console.log(
  `${totals.samples} samples, ${totals.labelled} labelled, ${totals.wrong} wrong; ` +
    `profiles ${(totals.profileMicros / 1e6).toFixed(1)} s, process ${(micros / 1e6).toFixed(1)} s`,
);
if (totals.wrong > 0) process.exitCode = 1;
