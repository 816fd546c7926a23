/**
 * One profile covers all threads that have loaded the package, with their own labels, whichever
 * starts it and whenever they come and go. `STRESS_WORKERS` sets how many the churn starts.
 */

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { messageOf, runNode } from '../support/run-child.mjs';

const fixture = (name) => fileURLToPath(new URL(`fixtures/workers/${name}`, import.meta.url));
const scene = (name, flags = []) => messageOf(runNode([...flags, fixture('scenes.mjs'), name]));

const WORKERS = Number(process.env.STRESS_WORKERS ?? 60);
/** A worker can take half a second of CPU from start to end, of which a busy machine gives less. */
const WORKER_MS = 1_000;

const hasThreadName = 'threadName' in (await import('node:worker_threads'));
const major = Number.parseInt(process.versions.node, 10);
/** The flag for the other of the two ways in which labels are read, where there is one. */
const otherLabels = { 22: ['--experimental-async-context-frame'] }[major] ?? [
  '--no-async-context-frame',
];
const labelModes = major < 22 ? [[]] : [[], otherLabels];

/** CPU in microseconds of the samples whose burner and labels are these. */
function micros(samples, burner, labels) {
  return sum(
    samples.filter(
      (sample) =>
        (burner === undefined || sample.burner === burner) &&
        Object.entries(labels).every(([name, value]) => sample.labels[name] === value),
    ),
  );
}

function sum(samples) {
  return samples.reduce((total, sample) => total + sample.micros, 0);
}

/** All samples of a burner have exactly these labels. */
function assertLabels(samples, burner, labels) {
  const own = samples.filter((sample) => sample.burner === burner);
  assert.ok(own.length > 0, `${burner} is not in the profile`);
  for (const sample of own) assert.deepEqual(sample.labels, labels, burner);
}

/** The kernel looks at a thread's clock on its ticks; what comes after the last is not seen. */
function assertAbout(found, expected, what) {
  assert.ok(
    Math.abs(found - expected) <= expected * 0.05 + 10_000,
    `${what}: ${found} µs found, ${expected} µs used`,
  );
}

describe('a profile of worker threads', function () {
  this.timeout(90_000);
  this.slow(20_000);

  for (const flags of labelModes) {
    const mode = flags.length === 0 ? '' : `, ${flags.join(' ')}`;

    it(`has workers that load the package before the start and after it${mode}`, async () => {
      const { samples, micros: used, ids } = await scene('joined', flags);
      const [early, late] = ids.map((id) => `worker-${id}`);
      const lateName = hasThreadName ? 'the late one' : late;
      assertLabels(samples, 'burn_early', { who: 'early', thread_name: early });
      assertLabels(samples, 'burn_late', { who: 'late', thread_name: lateName });
      assertAbout(micros(samples, undefined, { thread_name: early }), used[0], early);
      // The worker that came later was sampled while it loaded, too.
      assert.ok(micros(samples, undefined, { thread_name: lateName }) >= used[1] * 0.9);
    });

    it(`has their spans, under their last names${mode}`, async () => {
      const { samples, spans } = await scene('spans', flags);
      ['one', 'two'].forEach((name, index) => {
        const { traceId, spanId } = spans[index];
        const own = samples.filter(({ burner }) => burner === `burn_${name}`);
        assert.ok(sum(own) > 100_000, `burn_${name} has ${sum(own)} µs`);
        for (const { labels } of own) {
          const { trace_id, span_id, span_name } = labels;
          assert.deepEqual([trace_id, span_id, span_name], [traceId, spanId, `job ${name}`]);
        }
      });
      assert.notEqual(spans[0].spanId, spans[1].spanId);
    });
  }

  it('has all labels of workers whose JavaScript is stopped before they have flushed', async () => {
    const { expected, samples, calls, error } = await scene('stopped');
    assert.equal(error, 'ERR_WORKER_OUT_OF_MEMORY');
    const found = {};
    for (const { burner, labels } of samples) {
      if (burner === undefined) continue;
      assert.equal(found[burner], undefined, `${burner} has several sets`);
      found[burner] = labels;
    }
    for (const labels of Object.values(expected)) labels.thread_name = 'worker-1';
    expected.burn_full = { who: 'full', thread_name: 'worker-2' };
    expected.burn_flushing = { who: 'flushing', thread_name: 'worker-3' };
    assert.deepEqual(found, expected);
    assert.equal(calls, 0, 'an accessor was called');
  });

  it('has a worker that is in a long loop when it starts, and loses none of its CPU', async () => {
    const { during, samples, micros: used } = await scene('loop');
    // The only way to have labels at once: no JavaScript of ours can run in such a loop.
    if (major >= 24) assertLabels(samples, 'burn_loop', { who: 'loop', thread_name: 'worker-1' });
    const worker = { thread_name: 'worker-1' };
    const found = micros(during, 'burn_loop', worker) + micros(samples, 'burn_loop', worker);
    // The loop had run for 100 ms, maybe more of a busy machine.
    assert.ok(found > used * 0.5, `${found} of ${used} µs`);
    assert.ok(found <= used * 1.02);
    const others = samples.filter(({ labels }) => Object.keys(labels).length === 0);
    assert.ok(sum(others) < used * 0.2, `${sum(others)} µs elsewhere`);
  });

  it('has all CPU of a thread in a long loop, and a limit of what waits for its window', async () => {
    const { samples, micros: used } = await scene('detached');
    const whole = micros(samples, 'burn_main', { who: 'main' });
    const merged = sum(samples.filter(({ leaf }) => leaf === '(stack table full)'));
    assert.ok(whole > 200_000, `${whole} µs under its label`);
    assert.ok(merged > 200_000, `${merged} µs without stacks`);
    const all = sum(samples);
    assert.ok(Math.abs(all - used) <= used * 0.05, `${all} of ${used} µs`);
  });

  it('ends within two seconds beside a worker in an endless loop, and has its CPU', async () => {
    const { samples, stopMs } = await scene('endless');
    assert.ok(micros(samples, 'burn_endless', { thread_name: 'worker-1' }) > 20_000);
    assert.ok(stopMs < 3_000, `stop took ${stopMs} ms`);
  });

  it('has windows of several threads, each with its own time', async () => {
    // Nothing becomes old: a collection of the whole heap after the burn would be CPU beside the known.
    const flags = ['--min-semi-space-size=32'];
    const { part, whole, micros: used } = await scene('windows', flags);
    assert.deepEqual(
      part.filter(({ burner }) => ['burn_before', 'burn_after'].includes(burner)),
      [],
    );
    const during = micros(part, undefined, { thread_name: 'worker-3' });
    assertAbout(during, used[1], 'the window in the middle');
    ['before', 'during', 'after'].forEach((name, index) => {
      const thread = { thread_name: `worker-${index + 2}` };
      assertLabels(whole, `burn_${name}`, { who: name, ...thread });
      assertAbout(micros(whole, undefined, thread), used[index], name);
    });
  });

  it('has the main thread if a worker takes it', async () => {
    const { samples } = await scene('fromWorker');
    assertLabels(samples, 'burn_main', { who: 'main' });
    assert.ok(micros(samples, 'burn_main', {}) > 200_000);
  });

  it(`is complete and right while ${WORKERS} workers come and go`, async function () {
    const timeoutMs = 60_000 + WORKERS * WORKER_MS;
    this.timeout(timeoutMs + 5_000);
    const report = await messageOf(runNode([fixture('churn.mjs'), String(WORKERS)], { timeoutMs }));
    if (process.env.STRESS_WORKERS) console.log(process.version, JSON.stringify(report));
    assert.equal(report.started, WORKERS);
    assert.deepEqual(report.problems, []);
    assert.deepEqual(report.wrong, []);
    assert.ok(report.terminated > 0 && report.finished > 0);
    const { profileMicros, processMicros } = report;
    assert.ok(
      Math.abs(profileMicros - processMicros) <= processMicros * 0.02,
      `profile ${profileMicros} µs, process ${processMicros} µs`,
    );
    // Found is from loading the package on, counted a little later.
    assert.ok(
      report.foundMicros >= report.countedMicros * 0.95,
      `${report.foundMicros} of ${report.countedMicros} µs`,
    );
    for (const [end, burnt] of Object.entries(report.burntMicros)) {
      const labelled = report.labelledMicros[end];
      assert.ok(burnt > 0 && labelled >= burnt * 0.95, `${end}: ${labelled} of ${burnt} µs`);
    }
  });
});
