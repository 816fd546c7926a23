/** Compares the labels of samples with what the burners on their stacks say they should be. */

import assert from 'node:assert/strict';
import { BURNER_PREFIX } from './burners.mjs';

/**
 * @typedef {object} Burnt What the samples say of one burner.
 * @property {string} name
 * @property {string} right The label set that it should have, as canonical text.
 * @property {number} nanos CPU under whatever labels.
 * @property {number} missingNanos CPU without any label, where there should be some.
 *
 * @typedef {object} LabelCheck
 * @property {Map<string, Burnt>} burners By name.
 * @property {{ name: string, right: string, found: string }[]} wrong Samples under other labels.
 */

/**
 * @param {import('./read-profile.mjs').ReadSample[]} samples
 * @param {Record<string, Record<string, string>>} expected Labels by name of the burner.
 * @returns {LabelCheck}
 */
export function checkLabels(samples, expected) {
  const burners = new Map(
    Object.entries(expected).map(([name, labels]) => [
      name,
      { name, right: canonical(labels), nanos: 0, missingNanos: 0 },
    ]),
  );
  const wrong = [];
  for (const sample of samples) {
    const name = burnerOf(sample);
    if (name === undefined) continue;
    const burner = burners.get(name);
    assert.ok(burner !== undefined, `nothing is known of the burner ${name}`);
    const found = canonical(sample.labels);
    burner.nanos += sample.nanos;
    if (found === burner.right) continue;
    if (found === '{}') burner.missingNanos += sample.nanos;
    else wrong.push({ name, right: burner.right, found });
  }
  return { burners, wrong };
}

/**
 * Asserts that no sample is under wrong labels and at most the fraction `limit` of the burnt CPU
 * under none.
 * @param {LabelCheck} check
 */
export function assertLabels({ burners, wrong }, limit = 0.001) {
  assert.deepEqual(wrong, []);
  const all = [...burners.values()];
  const nanos = all.reduce((total, burner) => total + burner.nanos, 0);
  const missing = all.reduce((total, burner) => total + burner.missingNanos, 0);
  assert.ok(nanos > 0, 'no sample of any burner');
  const where = all
    .filter((burner) => burner.missingNanos > 0)
    .map((burner) => `${burner.name}: ${burner.missingNanos / 1e6} of ${burner.nanos / 1e6} ms`);
  assert.ok(missing <= nanos * limit, `without labels: ${where.join(', ')}`);
}

/** A label set as text that does not depend on the order. */
export function canonical(labels) {
  return JSON.stringify(Object.fromEntries(Object.entries(labels).sort()));
}

/** The name of the burner on the sample's stack. */
function burnerOf(sample) {
  const names = sample.stack
    .map((frame) => frame.name)
    .filter((name) => name.startsWith(BURNER_PREFIX));
  assert.ok(names.length <= 1, `two burners on one stack: ${names.join(', ')}`);
  return names[0]?.slice(BURNER_PREFIX.length);
}
