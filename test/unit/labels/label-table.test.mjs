/** The label table: ids that resolve, sets kept for samples, and its limits. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { setImmediate } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

const require = createRequire(import.meta.url);
const {
  LABEL_TABLE_SIZE,
  LabelTable,
  MAX_PINNED_SETS,
  MAX_CPU_PARTS,
  NO_LABELS,
} = require('../../../lib/labels/label-table.js');
const { createLabelSet, LabelsOfTrace } = require('../../../lib/labels/label-set.js');

const { createSpanDetails } = require('../../../lib/labels/span-details.js');

const newSet = () => createLabelSet(undefined, undefined);
const addEnded = (table, count) => {
  for (let i = 0; i < count; i++) {
    const set = newSet();
    table.add(set);
    table.end(set);
  }
};

describe('LabelTable', () => {
  it('gives ascending ids from 1, and resolves each to its own set', () => {
    const table = new LabelTable();
    const sets = [newSet(), newSet(), newSet()];
    assert.deepEqual(
      sets.map((set) => table.add(set)),
      [1, 2, 3],
    );
    sets.forEach((set, i) => {
      assert.equal(table.get(i + 1), set);
      assert.equal(table.resolve(i + 1), set);
      assert.equal(table.has(set), true);
    });
    assert.equal(table.get(0), undefined);
    assert.equal(table.get(4), undefined);
    assert.equal(table.has(newSet()), false);
  });

  it('knows the ids that resolve to a set, and no others', () => {
    const table = new LabelTable(0x4000_0000 - 3);
    const check = (ids) => {
      for (const id of ids) assert.equal(table.isKnown(id), table.get(id) !== undefined, `${id}`);
    };
    const around = (id) => [id - LABEL_TABLE_SIZE - 1, id - LABEL_TABLE_SIZE, id - 1, id, id + 1];
    check([0, 1, 0x4000_0000 - 3, NO_LABELS]);
    for (let i = 0; i < LABEL_TABLE_SIZE + 10; i++) {
      if (table.exhausted) table.nextHalf();
      const set = createLabelSet(undefined, undefined);
      const id = table.add(set);
      if (i % 2 === 0) table.end(set);
      if (i < 10 || i > LABEL_TABLE_SIZE) check([...around(id), 0, 1, NO_LABELS]);
    }
  });

  it('counts the sets that have not ended', () => {
    const table = new LabelTable();
    const set = newSet();
    table.end(newSet());
    assert.equal(table.active, 0);
    table.add(set);
    assert.equal(table.active, 1);
    table.end(set);
    table.end(set);
    assert.equal(table.active, 0);
    assert.equal(table.get(1), set, 'async contexts keep the labels');
  });

  it('reuses an index after a whole round, counts sets that had not ended, and never mixes ids', () => {
    const table = new LabelTable();
    const ended = newSet();
    const open = newSet();
    table.end(ended);
    table.add(ended);
    table.add(open);
    addEnded(table, LABEL_TABLE_SIZE - 2);
    assert.equal(table.get(1), ended);
    assert.equal(table.dropped, 0);
    addEnded(table, 2);
    assert.equal(table.get(1), undefined);
    assert.equal(table.resolve(1), undefined);
    assert.equal(table.get(2), undefined);
    assert.equal(table.dropped, 1);
    assert.equal(table.active, 0);
    assert.equal(table.has(open), false);
    assert.equal(table.add(open), LABEL_TABLE_SIZE + 3, 'current again: a new id');
    assert.equal(table.get(2), undefined);
  });

  describe('with spans', () => {
    const spanSet = (number) => {
      const spanId = number.toString(16).padStart(16, '0');
      const traceId = spanId.repeat(2);
      const trace = new LabelsOfTrace(
        traceId,
        spanId,
        true,
        createSpanDetails('root'),
        traceId,
        spanId,
        createSpanDetails('root'),
      );
      return createLabelSet(trace, undefined, undefined, spanId);
    };
    const addSpan = (table, number) => {
      const set = spanSet(number);
      const id = table.add(set);
      table.end(set);
      return { set, id };
    };

    it('resolves the id of an ended set to equal labels, always to the same set', () => {
      const table = new LabelTable();
      const spans = [1, 2, 3].map((number) => addSpan(table, number));
      assert.equal(table.active, 0);
      for (const { set, id } of spans) {
        const found = table.get(id);
        assert.deepEqual(found.trace, set.trace);
        assert.deepEqual([found.id, found.ended], [id, true]);
        assert.equal(table.get(id), found);
        assert.equal(table.resolve(id), found);
        assert.equal(table.has(found), true);
        assert.equal(table.get(id + LABEL_TABLE_SIZE), undefined);
      }
      assert.equal(table.has(spanSet(4)), false, 'one that never was current');
    });

    it('recognizes an ended set that becomes current again, before and after its id was looked up', () => {
      const table = new LabelTable();
      const { set, id } = addSpan(table, 1);
      assert.equal(table.has(set), true);
      assert.equal(table.get(id), set);
      const other = addSpan(table, 2);
      assert.notEqual(table.get(other.id), other.set);
      assert.equal(table.has(other.set), true);
      assert.equal(table.get(other.id), other.set);
    });

    it('does not recognize a set whose id another set has since', () => {
      const table = new LabelTable();
      const { set } = addSpan(table, 1);
      const same = new LabelTable();
      addSpan(same, 2);
      assert.equal(same.has(set), false, 'ended, under the same id');
      const open = new LabelTable();
      open.add(spanSet(3));
      assert.equal(open.has(set), false, 'not ended, under the same id');
    });

    it('keeps an overwritten set that samples refer to, and no other', () => {
      const table = new LabelTable();
      const sampled = new Uint8Array(LABEL_TABLE_SIZE);
      table.connect(sampled, () => new Float64Array(LABEL_TABLE_SIZE));
      const spans = [1, 2].map((number) => addSpan(table, number));
      sampled[spans[0].id] = 1;
      for (let i = 0; i < LABEL_TABLE_SIZE; i++) addSpan(table, 10 + i);
      assert.equal(table.get(spans[0].id), undefined);
      assert.deepEqual(table.resolve(spans[0].id).trace, spans[0].set.trace);
      assert.equal(table.resolve(spans[1].id), undefined);
      assert.equal(table.dropped, 0);
      table.nextHalf();
      assert.equal(table.get(LABEL_TABLE_SIZE + 1), undefined);
    });

    it('does not keep the object of an ended set alive', async () => {
      setFlagsFromString('--expose-gc');
      const collectGarbage = runInNewContext('gc');
      const table = new LabelTable();
      const refs = ((count) => {
        const ended = Array.from({ length: count }, (_, i) => addSpan(table, i + 1).set);
        const open = spanSet(count + 1);
        table.add(open);
        return { ended: ended.map((set) => new WeakRef(set)), open: new WeakRef(open) };
      })(100);
      await setImmediate();
      collectGarbage();
      assert.equal(refs.ended.filter((ref) => ref.deref() !== undefined).length, 0);
      assert.notEqual(refs.open.deref(), undefined);
    });
  });

  describe('with samples', () => {
    let table;
    let sampled;
    beforeEach(() => {
      table = new LabelTable();
      sampled = new Uint8Array(LABEL_TABLE_SIZE);
      table.connect(sampled, () => new Float64Array(LABEL_TABLE_SIZE));
    });

    it('keeps an overwritten set that a sample refers to, until the sample is collected', () => {
      const first = newSet();
      table.add(first);
      table.end(first);
      sampled[1] = 1;
      addEnded(table, LABEL_TABLE_SIZE);
      assert.equal(table.get(1), undefined, 'no async context finds it by its id any more');
      assert.equal(table.resolve(1), first);
      assert.equal(sampled[1], 0, 'the next set at its index starts unsampled');
      table.beginCollect();
      assert.equal(table.resolve(1), first);
      table.endCollect();
      assert.equal(table.resolve(1), undefined);
    });

    it('keeps a set that is overwritten during a collect until the next collect', () => {
      const first = newSet();
      table.add(first);
      sampled[1] = 1;
      table.beginCollect();
      assert.equal(sampled[1], 0);
      addEnded(table, LABEL_TABLE_SIZE);
      assert.equal(table.resolve(1), first);
      table.endCollect();
      assert.equal(
        table.resolve(1),
        first,
        'it may have been sampled after the samples were taken',
      );
      table.beginCollect();
      table.endCollect();
      assert.equal(table.resolve(1), undefined);
    });

    it('loses no set when a collect fails between its begin and end', () => {
      const first = newSet();
      table.add(first);
      sampled[1] = 1;
      addEnded(table, LABEL_TABLE_SIZE);
      table.beginCollect();
      table.beginCollect();
      assert.equal(table.resolve(1), first);
      table.endCollect();
      assert.equal(table.resolve(1), undefined);
    });

    it('keeps no overwritten set without a sample', () => {
      table.add(newSet());
      addEnded(table, LABEL_TABLE_SIZE);
      assert.equal(table.resolve(1), undefined);
    });

    it('keeps a bounded number of overwritten sets, and counts those dropped', () => {
      for (let round = 0; round < 2; round++) {
        addEnded(table, LABEL_TABLE_SIZE);
        sampled.fill(1);
      }
      assert.equal(table.dropped, 0);
      addEnded(table, LABEL_TABLE_SIZE);
      const total = 2 * LABEL_TABLE_SIZE;
      const kept = Array.from({ length: total }, (_, i) => table.resolve(i + 1)).filter(Boolean);
      assert.equal(kept.length, MAX_PINNED_SETS);
      assert.equal(table.dropped, total - MAX_PINNED_SETS);
      assert.notEqual(table.resolve(total), undefined, 'the youngest stay');
    });

    it('refuses an array of flags of another length', () => {
      assert.throws(
        () => table.connect(new Uint8Array(1_024), () => new Float64Array(1_024)),
        /1024.*32768/,
      );
    });
  });

  it('continues in the other half when ids run out, and keeps only sets that samples refer to', () => {
    const lastOfFirstHalf = 0x3fff_ffff;
    const table = new LabelTable(lastOfFirstHalf - 1);
    const sampled = new Uint8Array(LABEL_TABLE_SIZE);
    table.connect(sampled, () => new Float64Array(LABEL_TABLE_SIZE));
    const [open, seen] = [newSet(), newSet()];
    table.add(open);
    assert.equal(table.exhausted, false);
    assert.equal(table.add(seen), lastOfFirstHalf);
    sampled[lastOfFirstHalf & (LABEL_TABLE_SIZE - 1)] = 1;
    assert.equal(table.exhausted, true);
    table.nextHalf();
    assert.equal(table.exhausted, false);
    assert.equal(table.get(lastOfFirstHalf), undefined);
    assert.equal(table.resolve(lastOfFirstHalf), seen);
    assert.equal(table.resolve(lastOfFirstHalf - 1), undefined);
    assert.equal(table.active, 0);
    assert.equal(table.dropped, 2);
    const next = newSet();
    assert.equal(table.add(next), 0x4000_0000);
    assert.equal(table.get(0x4000_0000), next);
  });

  describe('with CPU times', () => {
    let table;
    let cpuNanos;
    const burn = (set, nanos) => (cpuNanos[set.id & (LABEL_TABLE_SIZE - 1)] += nanos);

    beforeEach(() => {
      table = new LabelTable();
      cpuNanos = new Float64Array(LABEL_TABLE_SIZE);
      table.connect(new Uint8Array(LABEL_TABLE_SIZE), () => cpuNanos);
      table.countCpuTime();
    });

    it('adds up those of a set and of the sets made from it', () => {
      const set = newSet();
      table.add(set);
      burn(set, 10);
      const variants = Array.from({ length: 3 * MAX_CPU_PARTS }, () =>
        createLabelSet(undefined, undefined, undefined, '', set),
      );
      for (const variant of variants) {
        table.add(variant);
        burn(variant, 1);
      }
      assert.equal(table.cpuNanosOf(set), 10 + variants.length);
      assert.equal(set.cpuParts.length, MAX_CPU_PARTS);
      assert.equal(table.cpuNanosOf(newSet()), 0, 'another set');
    });

    it('keeps those of a set whose index a newer one has, and of its next id', () => {
      const [set, other] = [newSet(), newSet()];
      table.add(set);
      table.add(other);
      const variant = createLabelSet(undefined, undefined, undefined, '', set);
      table.add(variant);
      burn(set, 10);
      burn(variant, 5);
      addEnded(table, LABEL_TABLE_SIZE);
      assert.equal(table.cpuNanosOf(set), 15);
      table.add(set);
      table.add(variant);
      burn(set, 100);
      burn(variant, 50);
      assert.equal(table.cpuNanosOf(set), 165);
      assert.equal(table.cpuNanosOf(other), 0);
    });

    it('starts at 0 with memory that another thread has used', () => {
      const set = newSet();
      table.add(set);
      const used = new Float64Array(LABEL_TABLE_SIZE).fill(7);
      const makeCpuNanos = () => used;
      table.connect(new Uint8Array(LABEL_TABLE_SIZE), makeCpuNanos);
      assert.equal(table.cpuNanosOf(set), 0);
      burn(set, 1);
      used[set.id] = 3;
      table.connect(new Uint8Array(LABEL_TABLE_SIZE), makeCpuNanos);
      assert.equal(table.cpuNanosOf(set), 3, 'the same memory again');
    });

    it('makes no array before they are asked for', () => {
      let made = 0;
      const makeCpuNanos = () => (made++, cpuNanos);
      const other = new LabelTable();
      other.connect(new Uint8Array(LABEL_TABLE_SIZE), makeCpuNanos);
      const set = newSet();
      other.add(set);
      burn(set, 10);
      assert.deepEqual([other.cpuNanosOf(set), made], [0, 0]);
      for (let i = 0; i < 2; i++) other.countCpuTime();
      assert.equal(made, 1);
      burn(set, 10);
      assert.equal(other.cpuNanosOf(set), 10);
    });
  });

  it('gives only positive 32-bit integers as ids', () => {
    const table = new LabelTable(0x3fff_ffff);
    table.add(newSet());
    table.nextHalf();
    table.nextHalf();
    assert.equal(table.add(newSet()), 1);
  });
});
