/** Measures the cost of one sample: in the signal handler, and in the drain. */

import { runAsProgram } from './as-program.mjs';
import { atMost, inTurns, median, program, runVariant, show } from './measure.mjs';

/** Limit of the cost of a signal by number of frames, in microseconds. */
const HANDLER_LIMITS = { 10: 8, 40: 10, 120: 18 };
/** Limit of the cost of the drain, in microseconds per sample: at 100 Hz, 0.1 % of the CPU. */
const DRAIN_LIMIT = 10;
const SECONDS = 2;
const KINDS = {
  ordinary: 'objects, Maps and JSON',
  scattered: 'random places of 32 MiB (cold caches)',
};

export const bench = {
  title: 'Cost of a sample',
  about:
    'at 250 Hz, under 1,000 different labels; the clock before and after, as `metrics()` counts it, ' +
    'medians of single signals and drains. The handler without the delivery of the signal by the ' +
    'kernel. The peers have no counts of their own; the loads above compare with them. The targets ' +
    'are those of ordinary work; that of a drain is 0.1 % of the CPU at 100 Hz.',
  remark:
    "The handler's own clock runs on while another thread has the processor, and at these " +
    'rates its caches are cold each time: the cost hardly goes with the number of frames. (On ' +
    'Node.js 20, V8 lists native functions among the frames; each was searched for on the stack, ' +
    'which took twice as long as all else.) ' +
    "Drains happen in collections' prologues, with one or two samples each, when nothing of theirs " +
    'is in the caches: misses, two reads of the clock and the safe reads for the leaf (a system call ' +
    'or two) are most of what a sample costs. Tried: those reads in whole pages, and callers known ' +
    'by their address, without which 120 frames took twice as long.',
  key: true,
  rounds: 2,
  async run({ rounds, node }) {
    const cases = Object.keys(KINDS).flatMap((kind) =>
      Object.keys(HANDLER_LIMITS).map((frames) => [kind, frames]),
    );
    const one = ([kind, frames]) =>
      runVariant([program('deep-stacks.mjs'), frames, kind, SECONDS], { node: node.execPath });
    const results = await inTurns(
      Object.fromEntries(cases.map((found) => [found.join(), () => one(found)])),
      rounds,
    );
    const row = (what, key, limitOf) =>
      cases.map(([kind, frames]) => {
        const values = results[[kind, frames].join()].map((found) => found[key]);
        const seen = median(results[[kind, frames].join()].map((found) => found.frames));
        const name = `${what}, ${frames} frames (seen: ${seen}), ${KINDS[kind]}`;
        const target = atMost(median(values), limitOf(frames), 'µs');
        return {
          cells: [name, show(values)],
          target: kind === 'ordinary' ? target : undefined,
        };
      });
    return {
      columns: ['', 'µs'],
      rows: [
        ...row('handler, a signal', 'handlerMicros', (frames) => HANDLER_LIMITS[frames]),
        ...row('drain, a sample', 'drainMicros', () => DRAIN_LIMIT),
      ],
    };
  },
};

void runAsProgram(import.meta.url);
