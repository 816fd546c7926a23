/**
 * What profiling from the start costs: loading TypeScript, express and fastify and compiling a
 * file, with and without the profiler. And how long `start()` blocks, in a small process and in one
 * with TypeScript loaded.
 *
 *     node test/bench/start-up.mjs [rounds]
 */

import { fileURLToPath } from 'node:url';
import { inTurns, median, runVariant, spread } from './measure.mjs';

const PROGRAM = fileURLToPath(new URL('programs/start-up.mjs', import.meta.url));
const rounds = Number(process.argv[2] ?? 15);

const results = await inTurns(
  Object.fromEntries(
    ['off', 'on', 'datadog', 'small', 'large'].map((mode) => [
      mode,
      () => runVariant([PROGRAM, mode]),
    ]),
  ),
  rounds,
);
const cpu = (mode) => results[mode].map(({ cpuMillis }) => cpuMillis);
const show = ({ low, median, high }) =>
  `${median.toFixed(1)} (${low.toFixed(1)} to ${high.toFixed(1)})`;
console.log(`Node ${process.version}, ${rounds} rounds, median (middle half)`);
console.log(`off: ${show(spread(cpu('off')))} ms of CPU`);
console.log(`on:  ${show(spread(cpu('on')))} ms of CPU`);
console.log(`@datadog/pprof: ${show(spread(cpu('datadog')))} ms of CPU`);
for (const mode of ['on', 'datadog']) {
  const ratios = cpu(mode).map((value, round) => value / cpu('off')[round]);
  console.log(`${mode} / off, paired: ${(100 * (median(ratios) - 1)).toFixed(1)} %`);
}
for (const name of ['drainNanos', 'jitEventNanos', 'handlerNanos']) {
  const values = results.on.map(({ metrics }) => metrics[name] / 1e6);
  console.log(`  ${name}: ${median(values).toFixed(1)} ms`);
}
for (const mode of ['small', 'large']) {
  const blocked = spread(results[mode].map(({ startMillis }) => startMillis));
  console.log(`start() in a ${mode} process: ${show(blocked)} ms of CPU`);
}
