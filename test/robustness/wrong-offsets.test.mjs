/** Every entry of the table of V8's offsets made wrong, by words and parts of words: never a fault. */

import assert from 'node:assert/strict';
import { isFault, layoutEntries, sweepLayout } from '../support/layout-sweep.mjs';
import { torture, tortures } from './torture.mjs';

/** In bytes; and in entries, for those that are indices. */
const BYTES = [-16, -8, -4, 4, 8, 16];
const ENTRIES = [-1, 1];
/** CPU time of each process, in seconds. */
const SECONDS = 0.4;

/** A few of them, in each run of the tests: test/integration/frames.test.mjs. */
tortures('torture by wrong offsets', function () {
  const sweep = async (shift, accepts) => {
    const names = await layoutEntries();
    const shifts = names
      .map((name, entry) => ({ entry, name, shift }))
      .filter(({ name }) => accepts(name));
    const results = await sweepLayout(shifts, SECONDS);
    const counts = new Map();
    for (const { outcome } of results) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    const text = [...counts].map(([outcome, count]) => `${count} ${outcome}`).join(', ');
    console.log(`      ${process.version}, by ${shift}: ${text}`);
    assert.ok(results.length > 0);
    assert.deepEqual(results.filter(isFault), []);
  };

  for (const shift of BYTES) {
    torture(`is survived: each by ${shift} bytes`, {}, () => sweep(shift, () => true));
  }
  for (const shift of ENTRIES) {
    torture(`is survived: each index by ${shift}`, {}, () =>
      sweep(shift, (name) => name.endsWith('_index')),
    );
  }
});
