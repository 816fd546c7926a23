/**
 * Scripts of megabytes whose functions are behind very many lines, in profiles of 80 ms: to say in
 * which line a function begins, V8 makes a table of all lines of its script, and collects garbage
 * to have room for it, in the middle of what the profiler does with its own tables. These must be
 * small: they move when they grow, which is at powers of two.
 * Arguments: seconds of CPU, lines. Needs a storm of signals: else hardly any comes meanwhile. With
 * --no-incremental-marking and --heap-growing-percent=1 most collections are where they should be.
 */

import { setImmediate as turn } from 'node:timers/promises';
import { Script } from 'node:vm';
import { withLabels } from 'otelpyroscope';
import { processMicros } from '../../support/thread-cpu.mjs';
import { Tortured } from './harness.mjs';

/** Scripts of one profile, which are compiled before it. */
const SCRIPTS = 8;
/** More than the 64 samples of a storm after which the loop is woken for them. */
const WORK_MICROS = 8_000;

const [seconds, lines = 1_000_000] = process.argv.slice(2).map(Number);
const end = processMicros() + seconds * 1e6;
const padding = '//\n'.repeat(lines);
let made = 0;

function compile() {
  const name = `task_big_${made++}`;
  const source = `${padding}(function ${name}(n) { let s = 0; while (n--) s += n & 7; return s; })`;
  return new Script(source, { filename: `/nowhere/${name}.js` }).runInThisContext();
}

const tortured = new Tortured();
let report;
while (processMicros() < end) {
  const functions = Array.from({ length: SCRIPTS }, compile);
  tortured.start();
  for (const work of functions) {
    await withLabels({ task: 'big' }, async () => {
      const until = processMicros() + WORK_MICROS;
      while (processMicros() < until) work(10_000);
      // The loop is woken, and asks V8 for the lines.
      await turn();
      await turn();
    });
  }
  report = await tortured.stop();
}
process.send({ ...report, scripts: made }, () => process.disconnect());
