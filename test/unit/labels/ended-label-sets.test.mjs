/** Label sets of ended spans: stored as numbers, and made again. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const { EndedLabelSets } = require('../../../lib/labels/ended-label-sets.js');
const {
  createLabelSet,
  createUserLabels,
  labelsOfSet,
} = require('../../../lib/labels/label-set.js');

const { createSpanDetails } = require('../../../lib/labels/span-details.js');

const TRACE = '0123456789abcdef00000000fffffffe';
const ROOT = 'fedcba9876543210';
const CHILD = '00000000000000a1';

const traceOf = (changed = {}) => ({
  traceId: TRACE,
  rootSpanId: ROOT,
  rootSampled: true,
  root: createSpanDetails('root'),
  traceIdLabel: TRACE,
  spanIdLabel: ROOT,
  named: createSpanDetails('root'),
  ...changed,
});

const endedSet = (id, trace, user) => {
  const set = createLabelSet(trace, user);
  set.id = id;
  set.ended = true;
  return set;
};

describe('EndedLabelSets', () => {
  const kinds = {
    'of a local root': {},
    'of a child with ids and a name of its own': {
      spanIdLabel: CHILD,
      named: createSpanDetails('child'),
    },
    'with the smallest ids': { rootSpanId: '0000000000000000', spanIdLabel: '0000000000000001' },
    'with the largest ids': { traceId: 'f'.repeat(32), traceIdLabel: 'f'.repeat(32) },
    'without a trace id label': { traceIdLabel: '' },
    'without a span id label': { spanIdLabel: '' },
    'without a name': { named: undefined },
    'that were not sampled': { rootSampled: false, traceIdLabel: '', spanIdLabel: '' },
    'with a name of many characters': {
      root: createSpanDetails('é'.repeat(5_000)),
      named: createSpanDetails('😀'),
    },
  };
  for (const [kind, changed] of Object.entries(kinds)) {
    it(`returns equal labels ${kind}`, () => {
      const sets = new EndedLabelSets(4);
      // The bytes that another set has left at the index do not matter.
      assert.equal(sets.store(3, endedSet(3, traceOf({ spanIdLabel: CHILD }))), true);
      const set = endedSet(7, traceOf(changed));
      assert.equal(sets.store(3, set), true);
      assert.equal(sets.idAt(3), 7);
      const taken = sets.take(3);
      assert.deepEqual({ ...taken.trace }, traceOf(changed));
      assert.deepEqual({ ...labelsOfSet(taken) }, { ...labelsOfSet(set) });
      assert.deepEqual(
        [taken.id, taken.ended, taken.user, taken.base],
        [7, true, undefined, taken],
      );
      assert.equal(sets.idAt(3), 0);
    });
  }

  it('stores each index independently, and forgets one alone', () => {
    const sets = new EndedLabelSets(3);
    const ids = ['0000000000000001', '0000000000000002', '0000000000000003'];
    ids.forEach((spanIdLabel, index) => {
      assert.equal(sets.store(index, endedSet(index + 1, traceOf({ spanIdLabel }))), true);
    });
    sets.forget(1);
    assert.deepEqual(
      [0, 1, 2].map((index) => sets.idAt(index)),
      [1, 0, 3],
    );
    assert.equal(sets.take(0).trace.spanIdLabel, ids[0]);
    assert.equal(sets.take(2).trace.spanIdLabel, ids[2]);
  });

  const declined = {
    'an id that is too short': traceOf({ rootSpanId: ROOT.slice(1) }),
    'an id that is too long': traceOf({ traceId: `${TRACE}0`, traceIdLabel: `${TRACE}0` }),
    'capital digits': traceOf({ spanIdLabel: 'FEDCBA9876543210' }),
    'an id that is no number': traceOf({ rootSpanId: 'fedcba987654321g' }),
    'characters beyond ASCII': traceOf({ rootSpanId: 'fedcba987654321é' }),
    'characters beyond a byte': traceOf({ rootSpanId: 'fedcba987654321☃' }),
    'a trace id of the user’s own': traceOf({ traceIdLabel: 'mine' }),
    'a span id of the user’s own': traceOf({ spanIdLabel: 'mine' }),
    'no trace': traceOf({ traceId: '', traceIdLabel: '' }),
  };
  for (const [what, trace] of Object.entries(declined)) {
    it(`declines to store ${what}`, () => {
      const sets = new EndedLabelSets(1);
      assert.equal(sets.store(0, endedSet(1, trace)), false);
      assert.equal(sets.idAt(0), 0);
    });
  }

  it('reads the name of a local root that has not ended later', () => {
    const sets = new EndedLabelSets(1);
    const span = { name: 'GET' };
    const root = createSpanDetails('GET', 'a', span);
    assert.equal(
      sets.store(0, endedSet(1, traceOf({ root, named: root, spanIdLabel: CHILD }))),
      true,
    );
    span.name = 'GET /cart/:id';
    assert.equal(labelsOfSet(sets.take(0)).span_name, 'GET /cart/:id');
  });

  it('stores labels of the user’s own without a span', () => {
    const sets = new EndedLabelSets(2);
    const user = createUserLabels(['name', 'other'], ['value', 'o']);
    assert.equal(sets.store(1, endedSet(7, undefined, user)), true);
    assert.deepEqual([sets.idAt(0), sets.idAt(1)], [0, 7]);
    const taken = sets.take(1);
    assert.deepEqual([taken.id, taken.ended, taken.trace, taken.base], [7, true, undefined, taken]);
    assert.deepEqual({ ...labelsOfSet(taken) }, { name: 'value', other: 'o' });
    assert.equal(sets.idAt(1), 0);
    assert.equal(sets.store(1, endedSet(8, traceOf())), true, 'a span’s set at the same index');
    assert.equal(sets.take(1).user, undefined);
  });

  it('declines to store labels of the user’s own beside a span’s, and sets made from others', () => {
    const sets = new EndedLabelSets(1);
    const user = createUserLabels(['name'], ['value']);
    assert.equal(sets.store(0, endedSet(1, traceOf(), user)), false);
    const over = createLabelSet(traceOf(), undefined, undefined, '', createLabelSet(traceOf()));
    assert.equal(sets.store(0, over), false);
  });
});
