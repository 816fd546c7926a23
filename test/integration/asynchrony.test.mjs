/**
 * Every sample carries the labels of the flow that used the CPU, over every kind of asynchrony,
 * where AsyncContextFrame keeps the labels and where an async_hooks hook does.
 */

import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import assert from 'node:assert/strict';
import { readProfile } from '../support/read-profile.mjs';

const FIXTURE = fileURLToPath(new URL('./fixtures/asynchrony/flows.mjs', import.meta.url));
const CHILD_TIMEOUT_MS = 90_000;
/** 120 flows of 50 ms: 6 s of CPU, 1,500 kernel ticks. */
const SETTINGS = { budgetMicros: 50_000, hopMicros: 1_500, intervalMicros: 1_000 };
/** Burnt CPU that may be without a label, as a fraction. */
const UNLABELLED_LIMIT = 0.001;
const BURNER_PREFIX = 'burn_';
const NOTHING_SEEN = { nanos: 0, missingNanos: 0, measuredNanos: 0 };

for (const { title, flags, asyncContextFrame } of modes()) {
  describe(`labels over asynchrony, ${title}`, function () {
    this.timeout(CHILD_TIMEOUT_MS + 5_000);
    this.slow(30_000);

    /** @type {Awaited<ReturnType<typeof run>>} */
    let report;

    before(async () => {
      report = await run(flags);
    });

    it('runs in the mode that it is meant to test', () => {
      assert.equal(report.asyncContextFrame, asyncContextFrame);
    });

    it('covers at least 32 flows over 20 kinds of asynchrony', () => {
      assert.ok(report.flows.length >= 32, `${report.flows.length} flows`);
      assert.ok(report.kinds.length >= 20, `${report.kinds.length} kinds`);
    });

    it('says the right labels to JavaScript after every hop', () => {
      assert.deepEqual(report.strayed, []);
    });

    it('puts no sample under labels of another flow', () => {
      assert.deepEqual(report.wrong, []);
    });

    it('labels at least 99.9 % of the burnt CPU', () => {
      const missing = sum(report.burns, (burn) => burn.missingNanos);
      const all = sum(report.burns, (burn) => burn.nanos);
      assert.ok(missing <= all * UNLABELLED_LIMIT, describeMissing(report.burns));
    });

    it('finds all of the burnt CPU', () => {
      const flowBurns = report.burns.filter((burn) => burn.name !== 'outside');
      near(
        sum(flowBurns, (burn) => burn.measuredNanos) / 1_000,
        sum(flowBurns, (burn) => burn.trueMicros),
        0.05,
      );
    });

    it('finds every flow', () => {
      const unseen = report.flows.filter(({ name }) =>
        report.burns.some((burn) => burn.name === name && burn.measuredNanos === 0),
      );
      assert.equal(unseen.length, 0, unseen.map((flow) => flow.name).join(', '));
    });

    it('labels nothing that runs outside of the flows', () => {
      const outside = report.burns.find((burn) => burn.name === 'outside');
      assert.ok(outside.measuredNanos > 0);
      assert.deepEqual(
        report.wrong.filter((sample) => sample.name === 'outside'),
        [],
      );
    });

    it('has no label set that nobody has set, on any sample', () => {
      assert.deepEqual(report.unknownLabelSets, []);
    });
  });
}

/** The modes of the Node.js that runs the tests. */
function modes() {
  const major = Number.parseInt(process.versions.node, 10);
  const frame = { title: 'AsyncContextFrame', asyncContextFrame: true };
  const hook = { title: 'async_hooks', asyncContextFrame: false };
  if (major < 22) return [{ ...hook, flags: [] }];
  if (major < 24) {
    return [
      { ...hook, flags: [] },
      { ...frame, flags: ['--experimental-async-context-frame'] },
    ];
  }
  return [
    { ...frame, flags: [] },
    { ...hook, flags: ['--no-async-context-frame'] },
  ];
}

async function run(flags) {
  const child = fork(FIXTURE, [JSON.stringify(SETTINGS)], {
    execArgv: flags,
    serialization: 'advanced',
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), CHILD_TIMEOUT_MS);
  let message;
  child.on('message', (received) => (message = received));
  // 'disconnect' comes after the last message, 'exit' may come before it.
  const disconnected = new Promise((resolve) => child.once('disconnect', resolve));
  const [code, signal] = await new Promise((resolve) =>
    child.once('exit', (...how) => resolve(how)),
  );
  await disconnected;
  clearTimeout(timer);
  assert.deepEqual({ code, signal }, { code: 0, signal: null }, 'how the child ended');
  return analyse(message);
}

function analyse(message) {
  const measured = message.profiles.flatMap((bytes) => readProfile(bytes).samples);
  const samples = [...readProfile(message.compiling).samples, ...measured];
  const burns = new Map(
    Object.entries(message.expected).map(([name, labels]) => [
      name,
      { name, right: canonical(labels), trueMicros: message.burntMicros[name], ...NOTHING_SEEN },
    ]),
  );
  const wrong = [];
  for (const sample of samples) {
    const burn = burns.get(burnerOf(sample));
    if (burn === undefined) continue;
    const found = canonical(sample.labels);
    burn.nanos += sample.nanos;
    if (found === '{}' && burn.right !== '{}') burn.missingNanos += sample.nanos;
    else if (found !== burn.right) wrong.push({ name: burn.name, right: burn.right, found });
  }
  for (const sample of measured) {
    const burn = burns.get(burnerOf(sample));
    if (burn !== undefined) burn.measuredNanos += sample.nanos;
  }
  const known = new Set(['{}', ...[...burns.values()].map((burn) => burn.right)]);
  const unknownLabelSets = samples
    // The spans of this name have ids of their own each time, and burn nothing.
    .filter((sample) => sample.labels.span_name !== 'short')
    .map((sample) => canonical(sample.labels))
    .filter((labels) => !known.has(labels));
  return { ...message, wrong, burns: [...burns.values()], unknownLabelSets };
}

/** The name of the burner on the sample's stack. */
function burnerOf(sample) {
  const names = sample.stack
    .map((frame) => frame.name)
    .filter((name) => name.startsWith(BURNER_PREFIX));
  assert.ok(names.length <= 1, `two burners on one stack: ${names}`);
  return names[0]?.slice(BURNER_PREFIX.length);
}

function canonical(labels) {
  return JSON.stringify(Object.fromEntries(Object.entries(labels).sort()));
}

function describeMissing(burns) {
  return burns
    .filter((burn) => burn.missingNanos > 0)
    .map((burn) => `${burn.name}: ${burn.missingNanos / 1e6} of ${burn.nanos / 1e6} ms`)
    .join('\n');
}

function near(actual, wanted, tolerance) {
  const difference = Math.abs(actual - wanted) / wanted;
  assert.ok(difference <= tolerance, `${actual} is ${difference * 100} % away from ${wanted}`);
}

function sum(items, value) {
  return items.reduce((total, item) => total + value(item), 0);
}
