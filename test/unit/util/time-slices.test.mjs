/** Work in slices: the application's events come in between, and the result is the same. */

import assert from 'node:assert/strict';
import { CPU_PROFILE } from '../../../lib/util/profile-types.js';
import { ProfileBuilder } from '../../../lib/pprof/profile-builder.js';
import { atOnce, inSlices, joined } from '../../../lib/util/time-slices.js';

/** So much work that it takes many slices on any machine. */
const STACKS = 6_000;
const DEPTH = 30;

function filledBuilder() {
  const stacks = [];
  for (let i = 0; i < STACKS; i++) {
    stacks.push(1, DEPTH, i % 100);
    for (let frame = 0; frame < DEPTH; frame++) stacks.push((i * 7 + frame * frame) % 1_000);
  }
  const builder = new ProfileBuilder(CPU_PROFILE);
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
  it('lets other events run in between, and has the same result', async () => {
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

  it('runs one slice in each turn of the event loop, however much work waits', async () => {
    let turn = 0;
    let isDone = false;
    const count = () => {
      turn++;
      if (!isDone) setImmediate(count);
    };
    setImmediate(count);
    const slices = [];
    const work = function* (name) {
      for (let i = 0; i < 5; i++) {
        slices.push([name, turn]);
        // Longer than a slice.
        for (const end = performance.now() + 1; performance.now() < end;);
        yield;
      }
      return name;
    };
    const names = ['a', 'b', 'c'];
    assert.deepEqual(await Promise.all(names.map((name) => inSlices(work(name)))), names);
    isDone = true;
    const turns = slices.map(([, at]) => at);
    assert.equal(new Set(turns).size, 15, `turns ${turns.join()}`);
    assert.deepEqual(
      slices.slice(0, 6).map(([name]) => name),
      [...names, ...names],
    );
  });

  it('concatenates parts of any size', () => {
    const parts = [0, 1, 70_000, 0, 65_536, 200_000].map((size, i) => new Uint8Array(size).fill(i));
    assert.deepEqual(atOnce(joined(parts)), Buffer.concat(parts));
    assert.equal(atOnce(joined([])).length, 0);
    assert.ok([...joined(parts)].length >= 4, 'in steps');
  });

  it('rejects with the error that the work throws', async () => {
    // eslint-disable-next-line require-yield
    const failing = function* () {
      throw new Error('planned');
    };
    await assert.rejects(inSlices(failing()), /planned/);
    assert.throws(() => atOnce(failing()), /planned/);
  });
});
