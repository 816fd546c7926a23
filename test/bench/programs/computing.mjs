/** The compute suite of the tests for some seconds of CPU. Argument: our interval; without, no profiler. */

import { cpuMicros } from '../../support/burners.mjs';

const CPU_MICROS = 6e6;

const interval = Number(process.argv[2] ?? 0);
let profiler;
if (interval > 0) {
  const { CpuProfiler } = await import('otelpyroscope');
  profiler = new CpuProfiler({ intervalMicros: interval });
  profiler.start();
}
const { program } = await import('../../integration/fixtures/programs/compute.mjs');
while (cpuMicros() < CPU_MICROS) program.run();
const profile = await profiler?.stop();
console.log(JSON.stringify({ profile: profile && Buffer.from(profile).toString('base64') }));
