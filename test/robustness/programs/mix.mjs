/**
 * All kinds of hard work at once, each in a labelled task of its own.
 * Arguments: seconds of CPU, and the kinds, by comma; none: all.
 */

import { setImmediate as turn } from 'node:timers/promises';
import { getLabels, withLabels } from 'otelpyroscope';
import { processMicros } from '../../support/thread-cpu.mjs';
import { Tortured } from './harness.mjs';
import { KINDS } from './work.mjs';

const end = processMicros() + Number(process.argv[2]) * 1e6;
const kinds = process.argv[3]?.split(',') ?? Object.keys(KINDS);

const tortured = new Tortured();
await tortured.run(() =>
  Promise.all(
    kinds.map((kind) =>
      withLabels({ task: kind }, async () => {
        for (let step = 0; processMicros() < end; step++) {
          await KINDS[kind]();
          if (step % 10 === 0) globalThis.gc?.({ type: step % 40 === 0 ? 'major' : 'minor' });
          await turn();
          if (getLabels().task !== kind) throw new Error(`${kind} runs as ${getLabels().task}`);
        }
      }),
    ),
  ),
);
