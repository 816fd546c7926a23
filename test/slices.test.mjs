/** Work in slices: the application's events come in between, and the result is the same. */

import assert from 'node:assert/strict';
import { ProfileBuilder } from '../lib/pprof.js';
import { atOnce, inSlices } from '../lib/slices.js';

/** So much work that it takes many slices on any machine. */
const STACKS = 6_000;
const DEPTH = 30;

function filledBuilder() {
  const stacks = [];
  for (let i = 0; i < STACKS; i++) {
    stacks.push(1, DEPTH, i % 100);
    for (let frame = 0; frame < DEPTH; frame++) stacks.push((i * 7 + frame * frame) % 1_000);
  }
  const builder = new ProfileBuilder();
  builder.add({
    names: Array.from({ length: 1_000 }, (_, i) => [`function${i}`, 'file:///a.js']).flat(),
    startLines: Uint32Array.from({ length: 1_000 }, (_, i) => i + 1),
    startColumns: new Uint32Array(1_000),
    frames: Uint32Array.from({ length: 2_000 }, (_, i) => (i % 2 === 0 ? i / 2 : i)),
    stacks: Uint32Array.from(stacks),
    labels: new Map(Array.from({ length: 100 }, (_, i) => [i, { span_id: String(i) }])),
  });
  return builder;
}

const TIMES = { startNanos: 1n, durationNanos: 2n, periodNanos: 3 };

describe('work in slices', () => {
  it('lets other events have their turn, and comes to the same result', async () => {
    const expected = filledBuilder();
    atOnce(expected.merge());
    const builder = filledBuilder();
    let turns = 0;
    let done = false;
    const count = () => {
      turns++;
      if (!done) setImmediate(count);
    };
    setImmediate(count);
    await inSlices(builder.merge());
    const mergeTurns = turns;
    const bytes = await inSlices(builder.encode(TIMES));
    done = true;
    assert.ok(mergeTurns > 2, `${mergeTurns} turns while merging`);
    assert.ok(turns - mergeTurns > 2, `${turns - mergeTurns} turns while encoding`);
    assert.deepEqual(bytes, atOnce(expected.encode(TIMES)));
  });

  it('passes on what the work throws', async () => {
    // eslint-disable-next-line require-yield
    const failing = function* () {
      throw new Error('planned');
    };
    await assert.rejects(inSlices(failing()), /planned/);
    assert.throws(() => atOnce(failing()), /planned/);
  });
});
