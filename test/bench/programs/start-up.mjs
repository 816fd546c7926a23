/** Loads what large services load; see start-up.mjs. Argument: off, on, datadog, small or large. */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { thisThreadNanos } from '../../support/thread-cpu.mjs';

const require = createRequire(import.meta.url);
const mode = process.argv[2];
const cpuMillis = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
};
const load = () => {
  require('express');
  require('fastify');
  const ts = require('typescript');
  const source = readFileSync(new URL('../../../src/shared-sampler.ts', import.meta.url), 'utf8');
  ts.transpileModule(source, { compilerOptions: { module: ts.ModuleKind.CommonJS } });
};

const result = { mode };
if (mode === 'datadog') {
  const { time } = require('@datadog/pprof');
  require('otelpyroscope'); // as the others
  const begin = cpuMillis();
  time.start({
    intervalMicros: 10_000,
    durationMillis: 60_000,
    withContexts: true,
    collectCpuTime: true,
    lineNumbers: false,
  });
  load();
  result.cpuMillis = cpuMillis() - begin;
  time.stop(false);
} else if (mode === 'off' || mode === 'on') {
  // Both load the package: what is compared is profiling.
  const { CpuProfiler } = require('otelpyroscope');
  const profiler = new CpuProfiler();
  const begin = cpuMillis();
  if (mode === 'on') profiler.start();
  load();
  result.cpuMillis = cpuMillis() - begin;
  result.metrics = profiler.metrics();
  if (mode === 'on') await profiler.stop();
} else {
  if (mode === 'large') require('typescript').transpileModule('let x = 1', {});
  const { CpuProfiler } = require('otelpyroscope');
  const profiler = new CpuProfiler();
  const begin = thisThreadNanos();
  profiler.start();
  result.startMillis = (thisThreadNanos() - begin) / 1e6;
  result.metrics = profiler.metrics();
  await profiler.stop();
}
console.log(JSON.stringify(result));
