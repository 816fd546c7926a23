/** Asks for a profile where the system may refuse it: sends what came of it, and of the labels. */

const { CpuProfiler, getLabels, withLabels } = require('otelpyroscope');
const { Worker } = require('node:worker_threads');
const { readFileSync } = require('node:fs');

const workers = Number(process.argv[2] ?? 0);
const caught = () => readFileSync('/proc/self/status', 'utf8').match(/^SigCgt.*$/m)[0];
const before = caught();
const profiler = new CpuProfiler({ intervalMicros: 1_000 });
let code = '';
try {
  profiler.start();
} catch (error) {
  code = error.code ?? String(error);
}
const begin = process.cpuUsage();
withLabels({ task: 'a' }, () => {
  while (process.cpuUsage(begin).user < 100_000);
});
const joined = Array.from(
  { length: workers },
  () =>
    new Promise((resolve, reject) => {
      const source = `require('otelpyroscope').withLabels({ task: 'w' }, () => {
        const begin = process.cpuUsage();
        while (process.cpuUsage(begin).user < 30_000);
      })`;
      new Worker(source, { eval: true }).on('exit', resolve).on('error', reject);
    }),
);
(async () => {
  const exits = await Promise.all(joined);
  const labels = withLabels({ task: 'a' }, () => getLabels());
  const { running } = profiler;
  const bytes = running ? (await profiler.stop()).length : 0;
  const after = caught();
  const metrics = profiler.metrics();
  await new Promise((resolve) =>
    process.send(
      { code, running, labels, bytes, exits, metrics, clean: after === before },
      resolve,
    ),
  );
  process.disconnect();
})();
