/**
 * Transpiles with TypeScript under 200 labels, and takes three profiles on the way; reports memory
 * and the size of the last. Argument: the profiler. Needs --expose-gc.
 */

import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { processMicros } from '../clock.mjs';
import { report, startProfiler } from './profilers.mjs';

const WINDOW_MICROS = 1_500_000;
const WINDOWS = 3;
const SPANS = 200;

const require = createRequire(import.meta.url);
const profiler = await startProfiler(process.argv[2]);
const ts = require('typescript');
const source = readFileSync(
  new URL('../../src/profiler/profile-windows.ts', import.meta.url),
  'utf8',
);
const transpile = () =>
  ts.transpileModule(source, { compilerOptions: { module: ts.ModuleKind.CommonJS } });

let bytes = 0;
for (let window = 0; window < WINDOWS; window++) {
  const end = processMicros() + WINDOW_MICROS;
  for (let span = 0; processMicros() < end; span++) {
    const labels = { span_id: (span % SPANS).toString(16).padStart(16, '0') };
    profiler.run(labels, transpile);
    await new Promise(setImmediate);
  }
  bytes = (await profiler.collect())?.length ?? 0;
}
for (let i = 0; i < 3; i++) {
  globalThis.gc();
  await sleep(50);
}
const { rss } = process.memoryUsage();
const most = process.resourceUsage().maxRSS * 1_024;
// The last upload.
await profiler.stop();
report({ rss, most, bytes });
