/** Becomes another program in the middle of a profile. Argument: how often it was itself already. */

const { CpuProfiler, withLabels } = require('otelpyroscope');

const profiler = new CpuProfiler({ intervalMicros: 1_000 });
profiler.start();
const begin = process.cpuUsage();
withLabels({ flow: 'a' }, () => {
  while (process.cpuUsage(begin).user < 30_000);
});
const left = Number(process.argv[2]);
if (left === 0) process.exit(7);
process.execve(process.execPath, [process.execPath, __filename, String(left - 1)], process.env);
