/** Keeps much of what it makes, for a while; see gc.mjs. Argument: off or ours. */

import { PerformanceObserver } from 'node:perf_hooks';
import { setImmediate as turn } from 'node:timers/promises';
import { CpuProfiler } from 'otelpyroscope';

let gcMillis = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) gcMillis += entry.duration;
}).observe({ entryTypes: ['gc'] });

const survivors = new Array(100_000);
let next = 0;
function work(rounds) {
  for (let i = 0; i < rounds; i++) {
    survivors[next++ % survivors.length] = { i, text: `s${i}`, inner: [i, i + 1] };
  }
}

const profiler = new CpuProfiler();
if (process.argv[2] === 'ours') profiler.start();
work(500_000);
await turn();
gcMillis = 0;
const begin = process.cpuUsage();
for (let i = 0; i < 300; i++) {
  work(100_000);
  await turn();
}
const { user, system } = process.cpuUsage(begin);
await turn();
console.log(JSON.stringify({ gcMillis, cpuMillis: (user + system) / 1_000 }));
process.exit();
