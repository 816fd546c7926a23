/**
 * A heap near its limit. Arguments: megabytes to keep; seconds of CPU; 'on' or 'off'. With -1 it
 * takes memory until there is none.
 */

import { setImmediate as turn } from 'node:timers/promises';
import { withLabels } from 'otelpyroscope';
import { processMicros } from '../../support/thread-cpu.mjs';
import { Tortured } from './harness.mjs';

const [megabytes, seconds] = process.argv.slice(2, 4).map(Number);
const kept = [];
const piece = (i) => ({ i, numbers: Array.from({ length: 500 }, (_, j) => j + 0.5 + i) });
const PIECES_A_MEGABYTE = 220;

function task_fill() {
  if (megabytes < 0) {
    while (true) kept.push(piece(kept.length));
  }
  for (let i = 0; i < 200; i++)
    kept[(kept.length * 7 + i) % (megabytes * PIECES_A_MEGABYTE)] = piece(i);
  while (kept.length < megabytes * PIECES_A_MEGABYTE) kept.push(piece(kept.length));
}

if (process.argv[4] === 'off') {
  task_fill();
} else {
  const end = processMicros() + seconds * 1e6;
  const tortured = new Tortured();
  await tortured.run(async () => {
    while (processMicros() < end) {
      withLabels({ task: 'fill' }, task_fill);
      await turn();
    }
  });
}
