/** Batches become the samples of a profile: shared stacks and labels, of any size. */

import assert from 'node:assert/strict';
import { CPU_PROFILE } from '../../../lib/util/profile-types.js';
import { ProfileBuilder } from '../../../lib/pprof/profile-builder.js';
import { atOnce } from '../../../lib/util/time-slices.js';
import { readProfile } from '../../support/read-profile.mjs';

const TIMES = { startNanos: 1_700_000_000_000_000_000n, durationNanos: 15_000_000_000n };
const PERIOD_NANOS = 10_000_000;
const FUNCTIONS = 300;

/** Function `i` has frame `i`. */
function batch(samples, labels = new Map()) {
  return {
    names: Array.from({ length: FUNCTIONS }, (_, i) => [`function${i}`, 'file:///a.js']).flat(),
    startLines: Uint32Array.from({ length: FUNCTIONS }, (_, i) => i + 1),
    startColumns: new Uint32Array(FUNCTIONS),
    frames: Uint32Array.from({ length: 2 * FUNCTIONS }, (_, i) => (i % 2 ? 1_000 + i : i / 2)),
    stacks: Uint32Array.from(
      samples.flatMap(({ weight, label = 0, stack }) => [weight, stack.length, label, ...stack]),
    ),
    labels,
  };
}

function encode(...batches) {
  const builder = new ProfileBuilder(CPU_PROFILE);
  for (const added of batches) builder.add(added);
  atOnce(builder.merge());
  return readProfile(atOnce(builder.encode({ ...TIMES, periodNanos: PERIOD_NANOS })));
}

const found = ({ samples }) =>
  samples.map(({ stack, count, nanos, labels }) => ({
    stack: stack.map(({ name }) => Number(name.slice('function'.length))),
    count,
    nanos,
    labels,
  }));

const expected = (samples, labelsOf = () => ({})) =>
  samples.map(({ stack, weight, label }) => ({
    stack,
    count: weight,
    nanos: weight * PERIOD_NANOS,
    labels: labelsOf(label),
  }));

describe('samples of a profile', () => {
  it('are written unchanged, whatever they share and however large they are', () => {
    const sets = new Map(
      [
        { span_name: 'a' },
        { span_name: 'a', span_id: '1' },
        Object.assign(Object.create({ inherited: 'x' }), { span_id: '3' }),
        { span_id: '2', name: 'ü'.repeat(900) },
        Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`label_${i}`, `value ${i}`])),
      ].map((set, i) => [i + 1, set]),
    );
    const samples = [];
    for (const depth of [1, 2, 20, 130, 20_000]) {
      for (let label = 0; label <= sets.size; label++) {
        for (const shift of [0, 7]) {
          const stack = Array.from({ length: depth }, (_, i) => (i * i + shift) % FUNCTIONS);
          samples.push({ stack, label, weight: 1 + (samples.length % 3) });
        }
      }
    }
    const profile = encode(batch(samples, sets));
    const labelsOf = (label) => ({ ...sets.get(label) });
    assert.deepEqual(found(profile), expected(samples, labelsOf));
  });

  it('are added up over batches if stack and label set are the same', () => {
    const one = { span_id: '1' };
    const two = { span_id: '2' };
    const first = batch(
      [
        { stack: [1, 2], label: 5, weight: 1 },
        { stack: [1, 2], label: 0, weight: 2 },
        { stack: [2, 1], label: 5, weight: 4 },
      ],
      new Map([[5, one]]),
    );
    const second = batch(
      [
        { stack: [1, 2], label: 9, weight: 8 },
        { stack: [1, 2], label: 5, weight: 16 },
        { stack: [1, 2], label: 77, weight: 32 },
      ],
      new Map([
        [9, one],
        [5, two],
      ]),
    );
    const all = [
      { stack: [1, 2], label: one, weight: 9 },
      { stack: [1, 2], label: {}, weight: 34 },
      { stack: [2, 1], label: one, weight: 4 },
      { stack: [1, 2], label: two, weight: 16 },
    ];
    assert.deepEqual(
      found(encode(first, second)),
      expected(all, (label) => label),
    );
  });

  it('are written with the times and the empty string, even if there are none', () => {
    const profile = encode();
    assert.deepEqual(profile.samples, []);
    assert.equal(profile.period, PERIOD_NANOS);
    assert.equal(profile.timeNanos, Number(TIMES.startNanos));
    assert.equal(profile.durationNanos, Number(TIMES.durationNanos));
  });

  it('beyond the limit are added to one per label set, and then to one without labels', () => {
    const limit = 65_536;
    const sets = new Map(Array.from({ length: limit }, (_, i) => [i + 1, { span_id: String(i) }]));
    const samples = [];
    for (let i = 0; i < limit; i++) samples.push({ stack: [i % 2], label: i + 1, weight: 1 });
    for (let i = 0; i < limit; i++) samples.push({ stack: [2], label: i + 1, weight: 1 });
    samples.push({ stack: [3], label: 0, weight: 5 }, { stack: [0], label: 1, weight: 7 });
    const profile = encode(batch(samples, sets));
    const full = profile.samples.filter(({ stack }) => stack[0].name === '(stack table full)');
    assert.equal(full.length, limit + 1);
    assert.equal(full.find(({ labels }) => labels.span_id === undefined).count, 5);
    assert.equal(profile.totalCount, 2 * limit + 12);
    assert.equal(profile.samples[0].count, 8, 'what is known goes on to be counted');
  });

  it('have functions up to a limit, and one function for all further ones', () => {
    // Each batch has 50,000 functions with a sample each, as stacks have a limit too.
    const generated = (first) => ({
      names: Array.from({ length: 50_000 }, (_, i) => [`eval${first + i}`, '']).flat(),
      startLines: new Uint32Array(50_000),
      startColumns: new Uint32Array(50_000),
      frames: Uint32Array.from({ length: 100_000 }, (_, i) => (i % 2 ? 0 : i / 2)),
      stacks: Uint32Array.of(1, 2, 0, 0, 49_999),
      labels: new Map(),
    });
    const { samples } = encode(...[0, 50_000, 100_000, 150_000].map((first) => generated(first)));
    assert.deepEqual(
      samples.map(({ stack }) => stack.map(({ name }) => name)),
      [
        ['eval0', 'eval49999'],
        ['eval50000', 'eval99999'],
        ['eval100000', '(stack table full)'],
        ['(stack table full)', '(stack table full)'],
      ],
    );
  });
});
