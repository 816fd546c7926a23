/**
 * A hundred thousand labelled tasks at once, all of them waiting, then all of them working.
 * Argument: how many. More than the table of label sets holds: the oldest may lose their labels,
 * and none may get another's.
 */

import { setImmediate as turn } from 'node:timers/promises';
import { getLabels, withLabels } from 'otelpyroscope';
import { createBurners } from '../../support/burners.mjs';
import { OTHER_THREADS, readProfile } from '../../support/read-profile.mjs';
import { Tortured } from './harness.mjs';

const tasks = Number(process.argv[2]);
const NAMES = 64;
const burners = [...createBurners(Array.from({ length: NAMES }, (_, i) => String(i))).values()];

const heapOf = () => (globalThis.gc(), process.memoryUsage().heapUsed);
const report = { strayed: 0, kept: 0, lost: 0, wrongSpans: 0, spans: 0 };
const tortured = new Tortured();
tortured.start();
let open;
const gate = new Promise((resolve) => (open = resolve));

async function task(i) {
  const span = i.toString(16).padStart(16, '0');
  await withLabels({ task: String(i % NAMES), span_id: span }, async () => {
    await gate;
    for (let step = 0; step < 3; step++) {
      burners[i % NAMES](4);
      const labels = getLabels();
      if (labels.span_id === span) report.kept++;
      else if (labels.span_id === undefined) report.lost++;
      else report.strayed++;
      await (step === 0 ? turn() : null);
    }
  });
}

function check(bytes) {
  for (const { stack, labels, count } of readProfile(bytes).samples) {
    if (stack[0]?.name === OTHER_THREADS) continue;
    const name = stack.find((frame) => /^burn_\d+$/.test(frame.name))?.name;
    if (name === undefined || labels.span_id === undefined) continue;
    report.spans += count;
    const i = Number.parseInt(labels.span_id, 16);
    if (name !== `burn_${i % NAMES}` || labels.task !== String(i % NAMES))
      report.wrongSpans += count;
  }
}

const before = heapOf();
const running = Array.from({ length: tasks }, (_, i) => task(i));
const during = heapOf();
open();
await Promise.all(running);
running.length = 0;
check(await tortured.profiler.collect());
await turn();
const after = heapOf();
const { activeLabelSets, droppedLabelSets } = tortured.profiler.metrics();
await tortured.send({ ...report, before, during, after, activeLabelSets, droppedLabelSets });
