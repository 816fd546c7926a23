/**
 * Loads the packages of large services, or only starts a profiler; see start-up.mjs.
 * Arguments: the profiler; `load`, `small` or `large`.
 */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { processMicros, threadNanos } from '../clock.mjs';
import { loadProfiler, report, startProfiler } from './profilers.mjs';

const require = createRequire(import.meta.url);

function load() {
  require('express');
  require('fastify');
  const ts = require('typescript');
  const source = readFileSync(
    new URL('../../src/profiler/profile-windows.ts', import.meta.url),
    'utf8',
  );
  ts.transpileModule(source, { compilerOptions: { module: ts.ModuleKind.CommonJS } });
}

const [mode, what] = process.argv.slice(2);
// All variants load a package, since profiling is compared.
await loadProfiler(mode === 'off' ? 'ours' : mode);
if (what === 'load') {
  const begin = processMicros();
  const profiler = await startProfiler(mode);
  load();
  const millis = (processMicros() - begin) / 1_000;
  report({ millis, metrics: profiler.metrics() });
} else {
  if (what === 'large') require('typescript').transpileModule('let x = 1', {});
  const begin = threadNanos();
  await startProfiler(mode);
  report({ millis: (threadNanos() - begin) / 1e6 });
}
