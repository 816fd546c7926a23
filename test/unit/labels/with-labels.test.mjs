/** withLabels and getLabels, without tracing and without a sampler. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { diag } from '@opentelemetry/api';
import { getLabels, withLabels } from 'otelpyroscope';
import { sleep } from '../../support/labels.mjs';

const require = createRequire(import.meta.url);
const { activeLabels } = require('../../../lib/labels/active-labels.js');
const { labelLosses } = require('../../../lib/labels/label-set.js');
const { LABEL_TABLE_SIZE } = require('../../../lib/labels/label-table.js');

const said = globalThis[Symbol.for('otelpyroscope.diagnostics.v1')];

describe('withLabels', () => {
  let warnings;
  beforeEach(() => {
    warnings = [];
    const none = () => undefined;
    const warn = (message) => warnings.push(message);
    diag.setLogger({ error: none, warn, info: none, debug: none, verbose: none });
    said.clear();
  });
  afterEach(() => {
    diag.disable();
    assert.deepEqual(getLabels(), {});
  });

  it('puts labels in force for a call, and returns what that returns', () => {
    const result = withLabels({ tenant: 'a' }, () => {
      assert.deepEqual(getLabels(), { tenant: 'a' });
      return 42;
    });
    assert.equal(result, 42);
    assert.deepEqual(getLabels(), {});
  });

  it('merges over the labels in force, and restores them', () => {
    withLabels({ a: '1', b: '1' }, () => {
      withLabels({ b: '2', c: '2' }, () => {
        assert.deepEqual(getLabels(), { a: '1', b: '2', c: '2' });
      });
      assert.deepEqual(getLabels(), { a: '1', b: '1' });
      withLabels({}, () => assert.deepEqual(getLabels(), { a: '1', b: '1' }));
      withLabels({ a: '1' }, () => assert.deepEqual(getLabels(), { a: '1', b: '1' }));
    });
  });

  it('restores on throw', () => {
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

  it('follows asynchronous work', async () => {
    const flow = (name) =>
      withLabels({ name }, async () => {
        for (let i = 0; i < 4; i++) {
          await (i % 2 ? sleep(1) : null);
          assert.deepEqual(getLabels(), { name });
        }
        return name;
      });
    assert.deepEqual(await Promise.all(['a', 'b', 'c'].map(flow)), ['a', 'b', 'c']);
  });

  it('gives out copies', () => {
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

  it('takes any name of the form, also those that objects have', () => {
    const labels = { _: '1', A9_: '2', 'a.b.c': '3', constructor: '4', toString: '5' };
    Object.defineProperty(labels, '__proto__', { value: '6', enumerable: true });
    withLabels(labels, () => {
      assert.deepEqual(Object.entries(getLabels()).sort(), Object.entries(labels).sort());
    });
  });

  it('refuses wrong names and types before it calls', () => {
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

  it('cuts values at 2,048 bytes between characters, counts it and says it once', () => {
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

  it('keeps 32 labels in force, counts what is dropped and says it once', () => {
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

  it('counts a flow that waits and loses its labels to newer ones, and says it once', async () => {
    let open;
    const opened = new Promise((resolve) => (open = resolve));
    const flow = () =>
      withLabels({ tenant: 'waits' }, async () => {
        await opened;
        return [getLabels(), getLabels()];
      });
    const fillTable = () => {
      for (let i = 0; i < LABEL_TABLE_SIZE; i++) withLabels({ tenant: String(i) }, () => undefined);
    };
    fillTable();
    // Spans of other tests that have not ended are gone with that.
    warnings.length = 0;
    said.clear();
    const before = activeLabels.droppedLabelSets;
    const flows = [flow(), flow()];
    fillTable();
    const later = flow();
    assert.equal(activeLabels.droppedLabelSets, before, 'they may never run again');
    open();
    const lost = [{}, {}];
    const kept = [{ tenant: 'waits' }, { tenant: 'waits' }];
    assert.deepEqual(await Promise.all([...flows, later]), [lost, lost, kept]);
    assert.equal(activeLabels.droppedLabelSets, before + 2);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0], /32768 newer label sets/);
  });

  it('counts the labels of spans among the 32, and keeps those', () => {
    const labels = Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`l${i}`, 'x']));
    withLabels(labels, () =>
      withLabels({ trace_id: 't', span_name: 's' }, () => {
        const inForce = getLabels();
        assert.equal(Object.keys(inForce).length, 32);
        assert.equal(inForce.trace_id, 't');
        assert.equal(inForce.span_name, 's');
        assert.equal(inForce.l29, 'x');
        assert.equal(inForce.l30, undefined);
      }),
    );
  });
});
