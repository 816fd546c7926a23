/** CPU is CPU: the profile's total is the thread's CPU time, its shares are the true ones. */

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { needsOfSystem } from '../support/needs.mjs';
import { messageOf, runNode } from '../support/run-child.mjs';

const fixture = (name) => fileURLToPath(new URL(`fixtures/cpu/${name}`, import.meta.url));

/** Total of the profile against the CPU time that the kernel counted, as a fraction. */
const TOTAL_LIMIT = 0.02;
/** The kernel's and our count are read some ticks apart. */
const READ_NANOS = 8e6;
/** Points by which a share may miss the truth, beyond what chance explains. */
const SHARE_LIMIT = 0.03;

describe('CPU time', function () {
  this.timeout(60_000);
  this.slow(30_000);

  for (const clock of ['tick', 'precise', 'perf']) {
    it(`adds up to the CPU time of a saturated thread by the clock ${clock}`, async function () {
      const report = await messageOf(runNode([fixture('saturated.mjs'), '2', clock]));
      needsClock(clock, report, this);
      checkTotal(report);
      checkShares(report);
    });
  }

  for (const clock of ['precise', 'perf']) {
    it(`is seen where it was by the clock ${clock}, in step with the ticks, in a worker too`, async function () {
      const report = await messageOf(runNode([fixture('bursts.mjs'), clock]));
      needsClock(clock, report, this);
      const { samples, burstIntervals, ofTruth } = report;
      // By the tick at 250 Hz, one sample is for four intervals.
      assert.ok(samples > burstIntervals / 2, `${samples} samples, ${burstIntervals} intervals`);
      for (const found of ofTruth) {
        assert.ok(found > 0.75 && found < 1.25, `${ofTruth} of the truth in the two threads`);
      }
    });
  }

  it('has the right total and shares at 10 % load in bursts of 0.7 to 2.8 ms', async () => {
    const report = await messageOf(runNode([fixture('server.mjs'), '0.1', '12']));
    assert.ok(report.busy > 0.05 && report.busy < 0.2, `the load is ${report.busy}`);
    checkTotal(report);
    checkShares(report);
  });

  it('has the right total and shares at 30 % load', async () => {
    const report = await messageOf(runNode([fixture('server.mjs'), '0.3', '5']));
    assert.ok(report.busy > 0.2 && report.busy < 0.5, `the load is ${report.busy}`);
    checkTotal(report);
    checkShares(report);
  });

  it('is complete when the ring is full: dropped samples are counted, the others stay', async () => {
    const report = await messageOf(runNode([fixture('full-ring.mjs')]));
    checkTotal(report);
    const { samples, signals, droppedSamples, truncatedStacks } = report.metrics;
    assert.ok(droppedSamples > 0, 'the ring was never full');
    assert.ok(report.droppedNanos > 0);
    assert.ok(samples > 100, `${samples} samples kept`);
    // A signal since the flush has its sample in the ring, where nothing has counted it yet.
    const waiting = signals - samples - droppedSamples;
    assert.ok(waiting >= 0 && waiting <= 5, `${waiting} of ${signals} samples are missing`);
    assert.ok(truncatedStacks > 0 && report.truncatedShare > 0.2, `${truncatedStacks} cut`);
    assert.ok(Math.max(...report.depths) <= 1_002, `deepest: ${Math.max(...report.depths)}`);
    assert.equal(report.afterDroppedNanos, 0);
    assert.ok(report.afterNanos > 1e8);
  });

  it('is hardly used in an idle process, which gets no signal', async () => {
    const pairs = [];
    for (let i = 0; i < 2; i++) {
      const [tick, precise, auto, off] = await Promise.all(
        ['tick', 'precise', 'auto', 'off'].map((clock) =>
          messageOf(runNode([fixture('idle.mjs'), clock, '2'])),
        ),
      );
      assert.deepEqual([tick.clock, precise.clock], ['tick', 'precise']);
      assert.equal(auto.clock, auto.clockRefusal === '' ? 'perf' : 'tick');
      for (const on of [tick, precise, auto]) {
        // Even little CPU may complete an interval that was begun before.
        assert.ok(on.signals <= 1, `${on.signals} signals`);
        // One each interval would be 200.
        assert.ok(on.wakeUps < off.wakeUps + 50, `${on.wakeUps} to ${off.wakeUps} wake-ups`);
        pairs.push(on.micros - off.micros);
      }
    }
    const median = pairs.sort((a, b) => a - b)[pairs.length >> 1];
    // A profiler that wakes up at 100 Hz takes 14 ms a second.
    assert.ok(median < 2_000, `profiled minus plain, 2 s, in microseconds: ${pairs.join(', ')}`);
  });
});

/** Skips the test where the system refuses the clock. */
function needsClock(clock, report, context) {
  const isRefused = clock === 'perf' && report.clock === 'tick';
  if (isRefused) assert.notEqual(report.clockRefusal, '');
  else assert.equal(report.clock, clock);
  needsOfSystem(isRefused ? 'a system that allows the task clock' : undefined, context);
}

function checkTotal({ profileNanos, threadNanos }) {
  assert.ok(
    Math.abs(profileNanos - threadNanos) <= threadNanos * TOTAL_LIMIT + READ_NANOS,
    `profile ${profileNanos / 1e6} ms, thread ${threadNanos / 1e6} ms`,
  );
}

function checkShares({ trueMicros, foundNanos, profileNanos, threadNanos, samples }) {
  for (const [name, micros] of Object.entries(trueMicros)) {
    const truth = (micros * 1_000) / threadNanos;
    const found = foundNanos[name] / profileNanos;
    // Four standard deviations of a binomial count: one run in 16,000.
    const chance = 4 * Math.sqrt((truth * (1 - truth)) / samples);
    assert.ok(
      Math.abs(found - truth) <= Math.max(SHARE_LIMIT, chance),
      `${name}: ${(100 * found).toFixed(1)} % found, ${(100 * truth).toFixed(1)} % true, ${samples} samples`,
    );
  }
}
