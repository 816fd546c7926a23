/**
 * Every sample carries the labels of the task that used the CPU, over every kind of asynchrony,
 * where AsyncContextFrame keeps the labels, and where async_hooks do: with the stores of async
 * resources read by the sampler, and with the label word written by a hook.
 */

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { assertLabels, canonical, checkLabels } from '../support/check-labels.mjs';
import { readProfile } from '../support/read-profile.mjs';
import { messageOf, runNode } from '../support/run-child.mjs';

const REFUSE = fileURLToPath(new URL('../support/refuse-resources.cjs', import.meta.url));
const FIXTURE = fileURLToPath(new URL('./fixtures/asynchrony/tasks.mjs', import.meta.url));
/** 123 tasks of 50 ms: 6 s of CPU, 1,500 kernel ticks. */
const SETTINGS = { budgetMicros: 50_000, hopMicros: 1_500, intervalMicros: 1_000 };
const TIMEOUT_MS = 90_000;
/** So many standard deviations off is an error, not chance. */
const SIGMAS = 6;

for (const { title, flags, asyncContextFrame, usesHook } of modes()) {
  describe(`labels over asynchrony, ${title}`, function () {
    this.timeout(TIMEOUT_MS + 5_000);

    let message;
    let all;
    let measured;
    let measuredNanos;
    let samples;

    before(async () => {
      const command = [...flags, FIXTURE, JSON.stringify(SETTINGS)];
      message = await messageOf(runNode(command, { timeoutMs: TIMEOUT_MS }));
      const measuredSamples = message.profiles.flatMap(samplesOf);
      samples = [...samplesOf(message.compiling), ...measuredSamples];
      all = checkLabels(samples, message.expected);
      measured = checkLabels(measuredSamples, message.expected);
      measuredNanos = sum(measuredSamples.map(({ nanos }) => nanos));
    });

    it('are tested in the intended mode', () => {
      assert.equal(message.asyncContextFrame, asyncContextFrame);
      assert.equal(message.usesHook, usesHook);
    });

    it('are tested in at least 32 async contexts over 20 kinds of asynchrony', () => {
      assert.ok(message.tasks.length >= 32, `${message.tasks.length} tasks`);
      assert.ok(message.kinds.length >= 20, `${message.kinds.length} kinds`);
    });

    it('are right for JavaScript after every hop', () => {
      assert.deepEqual(message.strayed, []);
    });

    it('are on at least 99.9 % of the burnt CPU, and wrong on none of it', () => {
      assertLabels(all);
    });

    it('come with all of the burnt CPU', () => {
      const tasks = [...measured.burners.values()].filter(({ name }) => name !== 'outside');
      const found = sum(tasks.map(({ nanos }) => nanos / 1_000));
      const burnt = sum(tasks.map(({ name }) => message.burntMicros[name]));
      // A share of what was sampled, each signal a draw.
      const share = burnt / (measuredNanos / 1_000);
      const tolerance = SIGMAS * Math.sqrt((1 - Math.min(share, 0.9)) / share / message.signals);
      // The burnt CPU is that of the process: other threads' may be in it, and is not in a profile's.
      const least = (burnt - message.othersMicros) * (1 - tolerance);
      const most = burnt * (1 + tolerance);
      assert.ok(
        least <= found && found <= most,
        `${found} µs found, ${burnt} µs burnt, other threads ${message.othersMicros} µs`,
      );
    });

    it('leave little CPU to other threads', () => {
      const burnt = sum(Object.values(message.burntMicros));
      assert.ok(message.othersMicros < burnt / 5, `${message.othersMicros} of ${burnt} µs`);
    });

    it('are found for every async context', () => {
      const unseen = message.tasks.filter(({ name }) => measured.burners.get(name).nanos === 0);
      // Signals that a task is due, and how many tasks may so have had none: 0 on a machine at rest.
      const nanosPerSignal = measuredNanos / message.signals;
      const chances = message.tasks.map(({ name }) =>
        Math.exp((-message.burntMicros[name] * 1_000) / nanosPerSignal),
      );
      const most = sum(chances) + SIGMAS * Math.sqrt(sum(chances));
      assert.ok(unseen.length <= most, `${unseen.map(({ name }) => name)} of at most ${most}`);
    });

    it('are not on CPU outside of these async contexts', () => {
      const outside = all.burners.get('outside');
      assert.equal(outside.right, '{}');
      assert.ok(outside.nanos > 0, 'nothing ran outside of the tasks');
      assert.deepEqual(
        all.wrong.filter(({ name }) => name === 'outside'),
        [],
      );
    });

    it('are only those that were set, on every sample', () => {
      const known = new Set(Object.values(message.expected).map(canonical));
      const unknown = samples
        // The spans of this name have ids of their own each time, and burn nothing.
        .filter(({ labels }) => labels.span_name !== 'short')
        .map(({ labels }) => canonical(labels))
        .filter((labels) => !known.has(labels));
      assert.deepEqual(unknown, []);
    });
  });
}

/** The modes of the Node.js that runs the tests. */
function modes() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const frame = { title: 'AsyncContextFrame', asyncContextFrame: true, usesHook: false };
  const resources = { title: 'async resources', asyncContextFrame: false, usesHook: false };
  const hook = { title: 'async hook', asyncContextFrame: false, usesHook: true };
  if (major < 24) {
    const later = { ...frame, flags: ['--experimental-async-context-frame'] };
    return [
      { ...resources, flags: [] },
      { ...hook, flags: ['--require', REFUSE] },
      ...(major < 22 ? [] : [later]),
    ];
  }
  // There stores are no properties of the resources themselves since 24.20.
  const without = major > 24 || minor >= 20 ? hook : resources;
  return [
    { ...frame, flags: [] },
    { ...without, flags: ['--no-async-context-frame'] },
  ];
}

function samplesOf(base64) {
  return readProfile(Buffer.from(base64, 'base64')).samples;
}

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}
