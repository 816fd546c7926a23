/**
 * Eight hours of a service in minutes: as many windows, samples, label sets, workers and
 * collections as it has in that time, over HTTP load. Says how memory grows, beside the same
 * without a profiler, and fails where a label is wrong or less was done than in eight hours.
 *
 *     node --expose-gc test/robustness/day.mjs [windows, default 1920] [off [requests]]
 *
 * With `off` the run without a profiler alone, until it has answered so many requests: the program
 * itself grows with each of them and with each worker. To have as many samples as in eight hours, in
 * less CPU time, let the hostile system of the torture suite send the timer's signals:
 * LD_PRELOAD=.cache/test-native/torture/preload.so TORTURE_STORM_MICROS=1000
 */

import { spawnSync } from 'node:child_process';
import http from 'node:http';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { PerformanceObserver } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';
import { context } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import sdk from '@opentelemetry/sdk-trace-node';
import { CpuProfiler, Scope, TracerProvider, withLabels } from 'otelpyroscope';
import { readProfile } from '../support/read-profile.mjs';
import { processMicros } from '../support/thread-cpu.mjs';
import { KINDS } from './programs/work.mjs';

/**
 * Windows of 15 s for eight hours. In each an ordinary service uses a tenth of a core, looked at
 * 100 times a second of CPU, answers a request of a dozen spans each second, starts a worker every
 * minute, and collects its old generation twice a minute.
 */
const windows = Number(process.argv[2] ?? 1_920);
const PER_WINDOW = { samples: 150, labelSets: 180, workers: 0.25, majorCollections: 0.5 };
const isOn = process.argv[3] !== 'off';
const SPANS_OF_REQUEST = 12;
const leastRequests = Number(process.argv[4] ?? 0);
const WINDOW_MS = 60;
const CONNECTIONS = 8;
const WORKER = fileURLToPath(
  new URL('../integration/fixtures/workers/churn-worker.mjs', import.meta.url),
);
const MEGABYTE = 1 << 20;
// Not `code`: require() itself keeps a record of every load.
const ROUTES = ['garbage', 'deopt', 'builtins', 'hops', 'contexts', 'wasm'];

let requests = 0;
let labelSets = 0;
let majorCollections = 0;
new PerformanceObserver((list) => {
  for (const { detail } of list.getEntries()) {
    if (detail.kind === 4) majorCollections++;
  }
}).observe({ entryTypes: ['gc'] });

/** The work of a request in its smaller spans. */
function spanWork() {
  const made = [];
  for (let i = 0; i < 200; i++) made.push({ i, text: `x${i}` });
  return made.length;
}

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
const tracer = new TracerProvider(new sdk.BasicTracerProvider(), {
  spanNameScope: Scope.AllSpans,
  spanIdScope: Scope.AllSpans,
}).getTracer('day');

async function answerWithLabels(route, response) {
  const span_id = requests.toString(16).padStart(16, '0');
  await withLabels({ task: route, span_id }, async () => {
    for (let i = 1; i < SPANS_OF_REQUEST; i++) {
      withLabels({ task: route, span_id: `${span_id}-${i}` }, spanWork);
    }
    await KINDS[route]();
    response.end(route);
  });
}

/** Every other of them goes on after its span has ended, with the labels of that. */
async function answerWithSpans(route, response) {
  await tracer.startActiveSpan(route, async (span) => {
    for (let i = 1; i < SPANS_OF_REQUEST; i++) {
      tracer.startActiveSpan(route, (child) => {
        spanWork();
        child.end();
      });
    }
    const work = KINDS[route]();
    if (requests % 4 === 0) span.end();
    await work;
    response.end(route);
    span.end();
  });
}

const server = http.createServer((request, response) => {
  const route = request.url.slice(1);
  requests++;
  labelSets += SPANS_OF_REQUEST;
  void (requests % 2 === 0 ? answerWithSpans : answerWithLabels)(route, response);
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
    const label = labels.task ?? labels.span_name;
    if (label === undefined) continue;
    totals.labelled += count;
    const task = stack.findLast(({ name }) => /^task_[a-z]+/.test(name))?.name;
    if (task !== undefined && !task.startsWith(`task_${label}`)) totals.wrong += count;
  }
}

const begin = processMicros();
if (isOn) profiler.start();
const running = [churn(), ...Array.from({ length: CONNECTIONS }, (_, i) => client(i))];
for (let i = 0; i < windows || requests < leastRequests; i++) {
  await sleep(WINDOW_MS);
  if (i % 2 === 0) globalThis.gc();
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
const { signals } = profiler.metrics();
server.close();
agent.destroy();

/** Without a profiler: what the program itself takes. */
const others = isOn ? runWithout() : undefined;
function runWithout() {
  const file = fileURLToPath(import.meta.url);
  const command = ['--expose-gc', file, String(windows), 'off', String(requests)];
  const { stdout } = spawnSync(process.execPath, command, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return stdout;
}

/** From a quarter on, when everything that is bounded may be full. */
const first = readings[Math.floor(readings.length / 4)];
const last = readings.at(-1);
for (const key of ['rss', 'heapUsed']) {
  const grown = (last[key] - first[key]) / MEGABYTE;
  const thousands = (last.requests - first.requests) / 1_000;
  const [from, to] = [first, last].map((reading) => (reading[key] / MEGABYTE).toFixed(1));
  console.log(
    `${key}: ${from} MiB after a quarter, ${to} MiB at the end, ` +
      `${(grown / thousands).toFixed(2)} MiB for a thousand requests`,
  );
}
const done = { samples: signals, labelSets, workers, majorCollections };
for (const [name, count] of Object.entries(done)) {
  const hours = (8 * count) / (1_920 * PER_WINDOW[name]);
  console.log(`${name}: ${count}, those of ${hours.toFixed(1)} hours`);
  if (isOn && count < windows * PER_WINDOW[name]) {
    console.error(`fewer ${name} than ${windows} windows of 15 s have`);
    process.exitCode = 1;
  }
}
console.log(`${process.version}: ${windows} windows, ${requests} requests, ${workers} workers,`);
console.log(
  `${totals.samples} samples, ${totals.labelled} labelled, ${totals.wrong} wrong; ` +
    `profiles ${(totals.profileMicros / 1e6).toFixed(1)} s, process ${(micros / 1e6).toFixed(1)} s`,
);
if (totals.wrong > 0) process.exitCode = 1;
if (others !== undefined) console.log(`without a profiler:\n${others}`);
