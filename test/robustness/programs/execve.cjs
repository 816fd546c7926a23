/**
 * Becomes another program in the middle of a profile. Arguments: how often it is still to become
 * itself; `process.execve` or `an addon`: who makes the system call.
 */

const { CpuProfiler, withLabels } = require('otelpyroscope');

const profiler = new CpuProfiler({ intervalMicros: 1_000 });
profiler.start();
const begin = process.cpuUsage();
withLabels({ task: 'a' }, () => {
  while (process.cpuUsage(begin).user < 30_000);
});
const [left, way] = [Number(process.argv[2]), process.argv[3]];
if (left === 0) process.exit(7);
const command = [process.execPath, __filename, String(left - 1), way];
if (way === 'an addon') require(process.env.TORTURE_ADDON).become(...command);
else process.execve(process.execPath, command, process.env);
