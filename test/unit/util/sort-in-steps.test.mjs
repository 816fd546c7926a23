/** Checks the sort in steps against that of arrays. */
import assert from 'node:assert/strict';
import { heaviestFirst } from '../../../lib/util/sort-in-steps.js';
import { atOnce } from '../../../lib/util/time-slices.js';

describe('a sort in steps', function () {
  it('has the largest first, and equal ones in their order, for any number of them', function () {
    for (const count of [0, 1, 2, 3, 7, 1_023, 1_025, 5_000]) {
      const weights = Float64Array.from({ length: count }, (_, i) => ((i * 7_919) % 101) - 50);
      const expected = Array.from(weights.keys()).sort((a, b) => weights[b] - weights[a]);
      assert.deepEqual([...atOnce(heaviestFirst(weights))], expected, String(count));
    }
  });

  it('takes many steps where there are many numbers', function () {
    const steps = [...heaviestFirst(new Float64Array(65_536))].length;
    assert.equal(steps, (16 * 65_536) / 1_024);
  });
});
