/** withLabels and getLabels, without tracing and without a sampler. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { diag } from '@opentelemetry/api';
import { getLabels, withLabels } from 'otelpyroscope';
import { sleep } from '../../support/labels.mjs';

const require = createRequire(import.meta.url);
const { activeLabels } = require('../../../lib/labels/active-labels.js');
const { labelLosses } = require('../../../lib/labels/label-values.js');
const { LABEL_TABLE_SIZE } = require('../../../lib/labels/label-table.js');

const warned = globalThis[Symbol.for('otelpyroscope.diagnostics.v1')];

describe('withLabels', () => {
  let warnings;
  beforeEach(() => {
    warnings = [];
    const none = () => undefined;
    const warn = (message) => warnings.push(message);
    diag.setLogger({ error: none, warn, info: none, debug: none, verbose: none });
    warned.clear();
  });
  afterEach(() => {
    diag.disable();
    assert.deepEqual(getLabels(), {});
  });

  it('makes labels current for a call, and returns its result', () => {
    const result = withLabels({ tenant: 'a' }, () => {
      assert.deepEqual(getLabels(), { tenant: 'a' });
      return 42;
    });
    assert.equal(result, 42);
    assert.deepEqual(getLabels(), {});
  });

  it('merges over the current labels, and restores them', () => {
    withLabels({ a: '1', b: '1' }, () => {
      withLabels({ b: '2', c: '2' }, () => {
        assert.deepEqual(getLabels(), { a: '1', b: '2', c: '2' });
      });
      assert.deepEqual(getLabels(), { a: '1', b: '1' });
      withLabels({}, () => assert.deepEqual(getLabels(), { a: '1', b: '1' }));
      withLabels({ a: '1' }, () => assert.deepEqual(getLabels(), { a: '1', b: '1' }));
    });
  });

  it('restores the labels when the function throws', () => {
    const error = new Error('from fn');
    withLabels({ a: '1' }, () => {
      assert.throws(
        () =>
          withLabels({ a: '2' }, () => {
            throw error;
          }),
        error,
      );
      assert.deepEqual(getLabels(), { a: '1' });
    });
  });

  it('keeps labels current in asynchronous work', async () => {
    const task = (name) =>
      withLabels({ name }, async () => {
        for (let i = 0; i < 4; i++) {
          await (i % 2 ? sleep(1) : null);
          assert.deepEqual(getLabels(), { name });
        }
        return name;
      });
    assert.deepEqual(await Promise.all(['a', 'b', 'c'].map(task)), ['a', 'b', 'c']);
  });

  it('copies the labels that it takes, and getLabels those that it returns', () => {
    withLabels({ a: '1' }, () => {
      getLabels().a = 'changed';
      assert.deepEqual(getLabels(), { a: '1' });
    });
    const given = { a: '1' };
    withLabels(given, () => {
      given.a = 'changed';
      assert.deepEqual(getLabels(), { a: '1' });
    });
  });

  it('accepts any name of the right form, also names of object properties', () => {
    const labels = { _: '1', A9_: '2', 'a.b.c': '3', constructor: '4', toString: '5' };
    Object.defineProperty(labels, '__proto__', { value: '6', enumerable: true });
    withLabels(labels, () => {
      assert.deepEqual(Object.entries(getLabels()).sort(), Object.entries(labels).sort());
    });
  });

  it('knows labels of earlier calls, whatever else is current and however many there are', () => {
    const tenants = Array.from({ length: 1_000 }, (_, i) => `tenant-${i}`);
    const outer = [{}, { own: 'a' }, { tenant: 'other', own: 'b' }, { span_name: 'c' }];
    for (let round = 0; round < 2; round++) {
      for (const [i, tenant] of tenants.entries()) {
        for (const around of [outer[i % 4], outer[(i + 1) % 4]]) {
          withLabels(around, () => {
            withLabels({ tenant }, () => assert.deepEqual(getLabels(), { ...around, tenant }));
            const more = { tenant, empty: '', twice: tenant };
            withLabels(more, () => assert.deepEqual(getLabels(), { ...around, ...more }));
            assert.deepEqual(getLabels(), around);
          });
        }
      }
    }
  });

  it('finds the labels of async work and of samples whose call ended many calls ago', async () => {
    const names = Array.from({ length: 4_000 }, (_, i) => `request-${i}`);
    const ids = [];
    const tasks = names.map((name) =>
      withLabels({ name, kind: 'request' }, async () => {
        ids.push(activeLabels.currentId());
        await sleep(1);
        assert.deepEqual(getLabels(), { name, kind: 'request' });
        withLabels({ name, step: 'second' }, () =>
          assert.deepEqual(getLabels(), { name, kind: 'request', step: 'second' }),
        );
        return name;
      }),
    );
    const labelsBefore = ids.map((id) => ({ ...activeLabels.labelsOf(id) }));
    assert.deepEqual(await Promise.all(tasks), names);
    assert.deepEqual(
      labelsBefore,
      names.map((name) => ({ name, kind: 'request' })),
    );
    assert.equal(new Set(ids).size, names.length);
  });

  it('gives calls with the same few labels one set, so that their samples share it', () => {
    const setOf = (labels) => withLabels(labels, () => activeLabels.current());
    assert.equal(setOf({ a: '1', b: '2' }), setOf({ a: '1', b: '2' }));
    assert.notEqual(setOf({ a: '1', b: '2' }), setOf({ a: '1', b: '3' }));
    assert.notEqual(setOf({ a: '1', b: '2' }), setOf({ a: '1' }));
    assert.notEqual(setOf({ a: '12' }), setOf({ b: '12' }));
    const long = { a: 'x'.repeat(300) };
    assert.notEqual(setOf(long), setOf(long), 'not kept in memory');
    const set = setOf({ a: '1', b: '2' });
    for (let i = 0; i < LABEL_TABLE_SIZE; i++) withLabels({ tenant: String(i) }, () => undefined);
    withLabels({ a: '1', b: '2' }, () => assert.deepEqual(getLabels(), { a: '1', b: '2' }));
    assert.notEqual(setOf({ a: '1', b: '2' }).id, 0);
    assert.deepEqual(
      { ...activeLabels.labelsOf(setOf({ a: '1', b: '2' }).id) },
      { a: '1', b: '2' },
    );
    assert.equal(set.ended, true);
  });

  it('refuses wrong names and types before it calls the function', () => {
    const never = () => assert.fail('called');
    for (const name of [
      '',
      '1a',
      'a-b',
      'a b',
      'é',
      '.a',
      '__name__',
      'profile_id',
      'thread_name',
    ]) {
      assert.throws(() => withLabels({ [name]: 'x' }, never), {
        name: 'TypeError',
        message: new RegExp(`label name ${JSON.stringify(name).replace('.', '\\.')} `),
      });
    }
    for (const value of [1, null, undefined, true, {}, Symbol('x')]) {
      assert.throws(() => withLabels({ tenant: value }, never), {
        name: 'TypeError',
        message: /label tenant must be a string/,
      });
    }
    for (const labels of [undefined, null, 'a', [], 1]) {
      assert.throws(() => withLabels(labels, never), { name: 'TypeError', message: /labels/ });
    }
    assert.throws(() => withLabels({ a: '1' }), { name: 'TypeError', message: /fn/ });
  });

  it('cuts values at 2,048 bytes between characters, counts that and warns once', () => {
    const before = labelLosses.cutValues;
    const cut = (value) => withLabels({ v: value }, () => getLabels().v);
    assert.equal(cut('x'.repeat(2048)), 'x'.repeat(2048));
    assert.equal(cut('é'.repeat(1024)), 'é'.repeat(1024));
    assert.equal(labelLosses.cutValues, before);
    assert.equal(cut('x'.repeat(2049)), 'x'.repeat(2048));
    assert.equal(cut(`x${'é'.repeat(1024)}`), `x${'é'.repeat(1023)}`);
    assert.equal(cut(`x${'😀'.repeat(512)}`), `x${'😀'.repeat(511)}`);
    assert.equal(labelLosses.cutValues, before + 3);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0], /2048 bytes/);
  });

  it('keeps at most 32 labels current, counts those dropped and warns once', () => {
    const before = labelLosses.droppedLabels;
    const numbered = (from, to) =>
      Object.fromEntries(Array.from({ length: to - from }, (_, i) => [`l${from + i}`, 'x']));
    withLabels(numbered(0, 32), () => {
      assert.deepEqual(getLabels(), numbered(0, 32));
      assert.equal(labelLosses.droppedLabels, before);
      withLabels({ l0: 'y', l32: 'x', l33: 'x' }, () => {
        assert.deepEqual(getLabels(), { ...numbered(0, 32), l0: 'y' });
      });
    });
    assert.equal(labelLosses.droppedLabels, before + 2);
    withLabels(numbered(0, 40), () => assert.equal(Object.keys(getLabels()).length, 32));
    assert.equal(labelLosses.droppedLabels, before + 10);
    assert.equal(warnings.length, 1);
  });

  it('counts an async context that loses its labels to newer label sets, and warns once', async () => {
    let open;
    const opened = new Promise((resolve) => (open = resolve));
    const task = (tenant) =>
      withLabels({ tenant }, async () => {
        await opened;
        return [getLabels(), getLabels()];
      });
    const fillTable = () => {
      for (let i = 0; i < LABEL_TABLE_SIZE; i++) withLabels({ tenant: String(i) }, () => undefined);
    };
    fillTable();
    // Spans of other tests that have not ended are gone with that.
    warnings.length = 0;
    warned.clear();
    const before = activeLabels.droppedLabelSets;
    const tasks = [task('first'), task('second')];
    fillTable();
    const later = task('first');
    assert.equal(activeLabels.droppedLabelSets, before, 'they may never run again');
    open();
    const lost = [{}, {}];
    const kept = [{ tenant: 'first' }, { tenant: 'first' }];
    assert.deepEqual(await Promise.all([...tasks, later]), [lost, lost, kept]);
    assert.equal(activeLabels.droppedLabelSets, before + 2);
    assert.equal(warnings.length, 1);
    assert.match(
      warnings[0],
      /an async context that outlived .* lost its labels: 32768 newer label sets took their index/,
    );
  });

  it('counts the labels of spans among the 32, and drops none of them', () => {
    const labels = Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`l${i}`, 'x']));
    withLabels(labels, () =>
      withLabels({ trace_id: 't', span_name: 's' }, () => {
        const current = getLabels();
        assert.equal(Object.keys(current).length, 32);
        assert.equal(current.trace_id, 't');
        assert.equal(current.span_name, 's');
        assert.equal(current.l29, 'x');
        assert.equal(current.l30, undefined);
      }),
    );
  });
});
