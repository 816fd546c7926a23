/**
 * An hour of windows in minutes: collects at a high rate under an eval storm, changing labels and
 * modules that are loaded again and again. Says what memory does, and fails where it grows.
 *
 *     node --expose-gc test/robustness/rotation.mjs [collects, default 10000] [off]
 *
 * With `off` the same without a profiler, to compare.
 */

import { spawnSync } from 'node:child_process';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';
import { CpuProfiler, withLabels } from 'otelpyroscope';

const collects = Number(process.argv[2] ?? 10_000);
/** After so many, everything that is bounded may be full. */
const warmUp = Math.floor(collects / 4);
const MEGABYTE = 1 << 20;

const MODULE = `(function loaded(n) { let s = 0; while (n--) s += n; return s; })`;

let made = 0;
/** New code, run until V8 has compiled it once or twice, then garbage. */
function storm() {
  for (let i = 0; i < 20; i++) {
    const work = new Function(
      'n',
      `/* ${made++} */ let s = 0; for (let i = 0; i < n; i++) s += i; return s;`,
    );
    for (let j = 0; j < 20; j++) work(200);
  }
  eval(`(function evaluated_${made}() { return ${made}; })()`);
  // As a module is reloaded: require() itself keeps a record of each load.
  new Script(MODULE, { filename: '/app/module.cjs' }).runInThisContext()(2_000);
}

/** Each garbage collected first, so that what is left is held by somebody. */
function memory() {
  globalThis.gc();
  const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage();
  return { rss, heapUsed, external: external + arrayBuffers };
}

const profiler = new CpuProfiler({ intervalMicros: 1_000 });
const isOn = process.argv[3] !== 'off';
if (isOn) profiler.start();
const readings = [];
let bytes = 0;
for (let i = 0; i < collects; i++) {
  withLabels({ trace_id: i.toString(16).padStart(32, '0'), span_name: `request ${i % 50}` }, storm);
  if (isOn) bytes += (await profiler.collect()).length;
  await turn();
  if (i % Math.ceil(collects / 20) === 0 || i === collects - 1) {
    const { codeEntries, codeBytes, activeLabelSets, samples } = profiler.metrics();
    const reading = {
      collects: i + 1,
      ...memory(),
      codeEntries,
      codeBytes,
      activeLabelSets,
      samples,
    };
    readings.push(reading);
    const megabytes = (value) => (value / MEGABYTE).toFixed(1);
    console.log(
      `${i + 1}: rss ${megabytes(reading.rss)} MiB, heap ${megabytes(reading.heapUsed)} MiB, ` +
        `code entries ${codeEntries}, code names ${megabytes(codeBytes)} MiB, ` +
        `label sets ${activeLabelSets}, samples ${samples}`,
    );
  }
}
if (isOn) await profiler.stop();

const settled = readings.filter((reading) => reading.collects >= warmUp);
const half = Math.ceil(settled.length / 2);
const largest = (part, key) => Math.max(...part.map((reading) => reading[key]));
const growth = {};
for (const key of ['rss', 'heapUsed']) {
  growth[key] = largest(settled.slice(half), key) / largest(settled.slice(0, half), key) - 1;
  console.log(`${key}: ${(100 * growth[key]).toFixed(1)} % from the second to the last part`);
}
console.log(
  `${collects} profiles, ${(bytes / MEGABYTE).toFixed(1)} MiB in all, ${made} functions made`,
);

// Memory that Node.js itself keeps for all that code is not ours.
if (isOn) {
  console.log('without a profiler:');
  const file = fileURLToPath(import.meta.url);
  const alone = spawnSync(
    process.execPath,
    ['--expose-gc', file, String(collects), 'off', 'report'],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 1 << 24 },
  );
  const other = JSON.parse(alone.stdout.trim().split('\n').at(-1));
  const own = largest(settled, 'rss') - other.rss;
  console.log(`rss ${(own / MEGABYTE).toFixed(1)} MiB above that without a profiler`);
  for (const key of ['rss', 'heapUsed']) {
    console.log(`${key} without: ${(100 * other.growth[key]).toFixed(1)} %`);
    if (growth[key] > other.growth[key] + 0.1) {
      console.error(`${key} grows`);
      process.exitCode = 1;
    }
  }
} else if (process.argv[4] === 'report') {
  console.log(JSON.stringify({ rss: largest(settled, 'rss'), growth }));
}
