/**
 * Starts and stops a profiler again and again, at times two of them in all orders, with work and
 * collections in between. Sends what is wrong, and what is left of it all. Arguments: the path of
 * the addon of addon.cc, and how often. Needs --expose-gc.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setImmediate as turn } from 'node:timers/promises';
import { CpuProfiler, withLabels } from 'otelpyroscope';
import { OTHER_THREADS, readProfile } from '../../support/read-profile.mjs';
import { processMicros } from '../../support/thread-cpu.mjs';
import { KINDS } from './work.mjs';

const { allocated } = createRequire(import.meta.url)(process.argv[2]);
const times = Number(process.argv[3]);
/** After so many, everything that is bounded is as large as it gets. */
const WARM_UP = Math.floor(times / 4);
const WORK_MICROS = 6_000;
/** One in so many has work that is long enough to be sampled. */
const WORKS_EVERY = 5;

const status = () => readFileSync('/proc/self/status', 'utf8');
const signals = () => status().match(/^Sig(Blk|Ign|Cgt):.*$/gm);
const timers = () => readFileSync('/proc/self/timers', 'utf8').match(/^ID:/gm)?.length ?? 0;
const files = () => readdirSync('/proc/self/fd').length;
function memory() {
  for (let i = 0; i < 3; i++) globalThis.gc();
  return { allocated: allocated(), heapUsed: process.memoryUsage().heapUsed };
}

const report = { starts: 0, samples: 0, wrong: [] };
const names = Object.keys(KINDS).filter((name) => name !== 'hops');

function check(bytes, expected) {
  const profile = readProfile(bytes);
  for (const { stack, labels, count } of profile.samples) {
    if (stack[0]?.name === OTHER_THREADS) continue;
    report.samples += count;
    const task = /^task_([a-z]+)/.exec(stack.findLast(({ name }) => /^task_/.test(name))?.name);
    if (labels.task !== undefined && labels.task !== expected) report.wrong.push(labels);
    else if (task !== null && task[1] !== expected) report.wrong.push({ task: task[1], expected });
  }
}

const profilers = [0, 1].map(() => new CpuProfiler({ intervalMicros: 1_000 }));
const before = { signals: signals(), timers: timers(), files: 0 };
let settled;
for (let i = 0; i < times; i++) {
  const [first, second] = i % 2 === 0 ? profilers : profilers.toReversed();
  const kind = names[i % names.length];
  // One alone; one inside the other; one that begins in the other's life and ends after it.
  const way = i % 3;
  first.start();
  if (way !== 0) second.start();
  report.starts += way === 0 ? 1 : 2;
  withLabels({ task: kind }, () => {
    const end = processMicros() + WORK_MICROS;
    do KINDS[kind]();
    while (i % WORKS_EVERY === 0 && processMicros() < end);
  });
  if (i % 50 === 0) globalThis.gc({ type: i % 100 === 0 ? 'major' : 'minor' });
  const order = way === 1 ? [second, first] : way === 2 ? [first, second] : [first];
  for (const profiler of order) check(await profiler.stop(), kind);
  if (i % 10 === 0) await turn();
  if (i === WARM_UP) settled = { ...memory(), files: files() };
}
const after = { signals: signals(), timers: timers() };
const now = { ...memory(), files: files() };
report.left = {
  signals: after.signals.join() === before.signals.join(),
  timers: after.timers - before.timers,
  files: now.files - settled.files,
  allocated: now.allocated - settled.allocated,
  heapUsed: now.heapUsed - settled.heapUsed,
};
report.wrong = report.wrong.slice(0, 10);
process.send(report, () => process.disconnect());
