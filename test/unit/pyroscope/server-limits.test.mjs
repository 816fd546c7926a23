/** Profiles over the server's limits: split, trimmed, counted, and no CPU lost. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { makeWindow } from '../../support/make-window.mjs';
import { complaintsAbout, decodePprof } from '../../support/pyroscope-rules.mjs';

const require = createRequire(import.meta.url);
const {
  DEFAULT_PROFILE_LIMITS,
  fitProfile,
  halveProfile,
} = require('../../../lib/pyroscope/server-limits.js');

const limits = { ...DEFAULT_PROFILE_LIMITS, labels: 22 };
const series = { service_name: 'shop' };

/** Decodes all parts, and asserts that a server takes each of them. */
function decodeAll({ parts }) {
  return parts.map(({ gzipped, summary }) => {
    const profile = decodePprof(gzipped);
    assert.deepEqual(complaintsAbout(profile, series), []);
    assert.equal(summary.samples, profile.samples.length);
    assert.equal(summary.startNanos, profile.timeNanos);
    assert.equal(summary.durationNanos, profile.durationNanos);
    return profile;
  });
}

const samplesOf = (profiles) => profiles.flatMap(({ samples }) => samples);
const total = (samples) => samples.reduce((sum, { nanos }) => sum + nanos, 0);
const key = ({ stack, nanos, labels }) => JSON.stringify([stack, nanos, labels]);

describe('profiles for Pyroscope', () => {
  it('are unchanged if they fit', async () => {
    const gzipped = makeWindow(100, (index) => ({ route: `/${index}` }));
    const fitted = await fitProfile(gzipped, limits);
    assert.equal(fitted.parts.length, 1);
    assert.equal(fitted.parts[0].gzipped, gzipped);
    assert.equal(fitted.parts[0].summary.periodNanos, 10_000_000);
    decodeAll(fitted);
  });

  it('are none if there are no samples', async () => {
    assert.deepEqual((await fitProfile(makeWindow(0), limits)).parts, []);
  });

  it('are split by samples, with all of them in the parts', async () => {
    const gzipped = makeWindow(2_500, (index) => ({
      span_id: index.toString(16).padStart(16, '0'),
    }));
    const fitted = await fitProfile(gzipped, { ...limits, samples: 1_000 });
    assert.equal(fitted.parts.length, 3);
    assert.equal(fitted.trimmedSamples, 0);
    const profiles = decodeAll(fitted);
    const before = decodePprof(gzipped).samples.map(key).sort();
    assert.deepEqual(samplesOf(profiles).map(key).sort(), before);
    assert.equal(new Set(profiles.map(({ timeNanos }) => timeNanos)).size, 3);
  });

  it('are split by bytes, raw and compressed', async () => {
    const gzipped = makeWindow(1_000, (index) => ({ text: String(Math.sin(index)).repeat(20) }));
    for (const small of [{ bytes: 200_000 }, { gzippedBytes: 10_000 }]) {
      const fitted = await fitProfile(gzipped, { ...limits, ...small });
      assert.ok(fitted.parts.length > 1, JSON.stringify(small));
      assert.equal(fitted.trimmedSamples, 0);
      const { gzippedBytes = Infinity, bytes = Infinity } = small;
      for (const part of fitted.parts) assert.ok(part.gzipped.length <= gzippedBytes);
      const profiles = decodeAll(fitted);
      for (const profile of profiles) assert.ok(profile.bytes <= bytes);
      assert.equal(samplesOf(profiles).length, 1_000);
    }
  });

  it('lose the lightest stacks to "(trimmed)" if there are too many parts', async () => {
    const gzipped = makeWindow(1_000, (index) => ({ route: `/${index}` }));
    const fitted = await fitProfile(gzipped, { ...limits, samples: 100, parts: 4 });
    assert.equal(fitted.parts.length, 4);
    assert.equal(fitted.trimmedSamples, 700);
    const samples = samplesOf(decodeAll(fitted));
    assert.equal(total(samples), total(decodePprof(gzipped).samples));
    const trimmed = samples.filter(({ stack }) => stack[0].name === '(trimmed)');
    assert.equal(trimmed.length, 1);
    assert.deepEqual(trimmed[0].labels, []);
    // The values are 1 … 1,000 times the period.
    assert.ok(samples.every((sample) => sample === trimmed[0] || sample.count > 700));
  });

  it('keep as many labels as a series may have, and the ids beside them', async () => {
    const many = Object.fromEntries(Array.from({ length: 32 }, (_, index) => [`l${index}`, 'x']));
    const gzipped = makeWindow(10, (index) =>
      index < 5
        ? { ...many, span_id: 'a'.repeat(16), trace_id: 'b'.repeat(32) }
        : { ['n'.repeat(1_100)]: 'x', kept: 'y' },
    );
    const fitted = await fitProfile(gzipped, limits);
    assert.equal(fitted.droppedLabels, 5 * 10 + 5);
    const samples = samplesOf(decodeAll(fitted)).map(({ labels }) => Object.fromEntries(labels));
    assert.equal(samples.filter(({ span_id, trace_id }) => span_id && trace_id).length, 5);
    assert.equal(samples.filter(({ l0, l21, l22 }) => l0 && l21 && !l22).length, 5);
    assert.equal(samples.filter(({ kept }) => kept).length, 5);
  });

  it('are halved if a server finds them too large, down to one sample', async () => {
    const gzipped = makeWindow(101);
    const halves = decodeAll(await halveProfile(gzipped));
    assert.deepEqual(
      halves.map(({ samples }) => samples.length),
      [50, 51],
    );
    assert.equal(await halveProfile(makeWindow(1)), undefined);
  });
});
