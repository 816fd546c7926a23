/**
 * A large process that serves requests of its own `fetch`, runs WebAssembly and many functions, and
 * is profiled; then it rests. Reports the longest turns of its event loop, in milliseconds of CPU.
 * Arguments: the profiler; its size (JSON, see big-process.mjs); seconds of CPU. Needs --expose-gc.
 */

import { createServer } from 'node:http';
import { once } from 'node:events';
import { PerformanceObserver } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { emptyTurnNanos, measureTurns, processMicros, threadNanos } from '../clock.mjs';
import { wasmLoop } from '../../test/integration/fixtures/names/wasm-loop.mjs';
import { makeBig } from './big-process.mjs';
import { loadProfiler, report, startProfiler } from './profilers.mjs';

const TASK_MICROS = 300;
const SPANS = 1_000;
const FETCHES_AT_ONCE = 4;
const WARM_UP_FETCHES = 300;
const WARM_UP_MICROS = 700_000;
const CODE_EVERY = 100;
const PROFILES = 2;
const TURNS_OF_PROFILE = 60;
/** Time in which compilers finish their work. */
const REST_MS = 2_000;
/** Parts of the time of rest: a concurrent collection of a large heap takes some of them. */
const IDLE_PARTS = 6;
const IDLE_MS = 1_000;

const [mode, size, seconds] = process.argv.slice(2);
// As early as applications do. All variants load a package, since profiling is compared.
await loadProfiler(mode === 'off' ? 'ours' : mode);
const functions = makeBig(JSON.parse(size));
const countInWasm = wasmLoop();
const server = createServer((request, response) => response.end(request.url.repeat(20)));
// Else it closes connections that rest while a profiler starts.
server.keepAliveTimeout = 0;
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const url = `http://127.0.0.1:${server.address().port}/`;
const request = async (number) => (await fetch(url + number)).text();
for (let i = 0; i < WARM_UP_FETCHES; i++) await request(i);

let profiler;
let count = 0;
let next = 0;

function task() {
  const end = processMicros() + TASK_MICROS;
  do {
    for (let i = 0; i < 10; i++) functions[next++ % functions.length](100);
    countInWasm(5_000);
    JSON.parse(JSON.stringify({ next, text: `n${next}`, list: [next, { next }] }));
  } while (processMicros() < end);
}

function newCode() {
  for (let i = 0; i < 5; i++) {
    const fresh = new Function(
      'n',
      `/* ${count}, ${i} */ let s = 0; while (n--) s += n; return s;`,
    );
    for (let j = 0; j < 20; j++) fresh(50);
  }
}

/** The pauses of all collections: with a large heap, they are longer than anything else in a turn. */
const pauses = [];
new PerformanceObserver((list) => pauses.push(...list.getEntries())).observe({
  entryTypes: ['gc'],
});

/** Runs one turn, and `also` in it; returns its CPU in nanoseconds, and when it was. */
async function turn(also) {
  const from = performance.now();
  const begin = threadNanos();
  also?.();
  const labels = { span_id: (count++ % SPANS).toString(16).padStart(16, '0') };
  if (profiler === undefined) task();
  else profiler.run(labels, task);
  if (count % CODE_EVERY === 0) newCode();
  await new Promise(setImmediate);
  return { nanos: threadNanos() - begin, from, to: performance.now() };
}

async function turns(micros) {
  const slices = [];
  const end = processMicros() + micros;
  while (processMicros() < end) slices.push(await turn());
  return slices;
}

/** Runs turns until the promise of `act` has settled, and some more, for the same effect of chance. */
async function turnsOf(act) {
  const slices = [];
  let done = false;
  slices.push(await turn(() => act().then(() => (done = true))));
  while (slices.length < TURNS_OF_PROFILE || !done) slices.push(await turn());
  return slices;
}

/** Calls `work` while `fetch` is busy. */
async function underTraffic(work) {
  let over = false;
  const fetching = Array.from({ length: FETCHES_AT_ONCE }, async (_, number) => {
    while (!over) await request(number);
  });
  const result = await work();
  over = true;
  await Promise.all(fetching);
  return result;
}

/** The longest turn of a start beside which nothing is done. */
async function start() {
  const begin = async () => {
    profiler = await startProfiler(mode);
  };
  const { longestNanos } = await measureTurns(begin, await emptyTurnNanos());
  return longestNanos / 1e6;
}

const before = await underTraffic(() => turns(WARM_UP_MICROS));
const typical = before.map(({ nanos }) => nanos).sort((a, b) => a - b)[before.length >> 1];

/** The longest turn beyond a typical one, in milliseconds, without the pauses of collections. */
function longest(slices) {
  const ofCode = slices.map(({ nanos, from, to }) => {
    const within = pauses.filter(({ startTime }) => startTime >= from && startTime <= to);
    return nanos - 1e6 * within.reduce((sum, { duration }) => sum + duration, 0);
  });
  return Math.max(0, Math.max(...ofCode) - typical) / 1e6;
}

const found = { firstStart: await start() };
const work = [];
const profiles = [];
await underTraffic(async () => {
  for (let i = 0; i < PROFILES; i++) {
    work.push(...(await turns((Number(seconds) * 1e6) / PROFILES)));
    profiles.push(...(await turnsOf(() => profiler.collect())));
  }
});
await profiler.stop();
found.laterStart = await start();
server.close();
server.closeAllConnections();
await sleep(REST_MS);
// The observer has heard of all collections by now.
found.work = longest(work);
found.profile = longest(profiles);
found.idle = Infinity;
for (let i = 0; i < IDLE_PARTS; i++) {
  const begin = processMicros();
  await sleep(IDLE_MS);
  found.idle = Math.min(found.idle, (processMicros() - begin) / IDLE_MS);
}
found.heapMegabytes = Math.round(process.memoryUsage().heapUsed / 2 ** 20);
report(found);
