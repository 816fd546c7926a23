/** A patched context manager behaves as before, and labels are right in its contexts: on real SDKs. */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { getLabels, withLabels } from 'otelpyroscope';
import { sleep, startTracing } from '../../../support/labels.mjs';

const nameHere = () => getLabels().span_name;

/** Registers the cases for one SDK and one of its context managers. */
export function contextManagerRules(sdk, contextManager) {
  const { context, trace, createContextKey, ROOT_CONTEXT } = sdk.api;
  const KEY = createContextKey('test key');
  let program;
  let one;
  let two;

  beforeEach(() => {
    program = startTracing(sdk, { contextManager });
    const contextOf = (name) =>
      trace
        .setSpan(ROOT_CONTEXT, program.tracer.startSpan(name, {}, ROOT_CONTEXT))
        .setValue(KEY, name);
    one = contextOf('one');
    two = contextOf('two');
  });
  afterEach(() => {
    assert.deepEqual(getLabels(), {}, 'labels outside of any span');
    sdk.reset();
  });

  /** Asserts that the active context and the labels are those of `name`. */
  const assertIn = (name) => {
    assert.equal(context.active().getValue(KEY), name);
    assert.equal(nameHere(), name);
  };

  it('passes on this, arguments and the result', () => {
    const self = {};
    const result = context.with(
      one,
      function (...args) {
        assert.equal(this, self);
        assert.deepEqual(args, [1, 'b', undefined, null]);
        assertIn('one');
        return 'result';
      },
      self,
      1,
      'b',
      undefined,
      null,
    );
    assert.equal(result, 'result');
    context.with(one, function () {
      assert.equal(this ?? undefined, undefined);
      assert.equal(arguments.length, 0);
    });
  });

  it('passes on exceptions and restores the labels', () => {
    const error = new Error('from fn');
    context.with(two, () => {
      assert.throws(
        () =>
          context.with(one, () => {
            assertIn('one');
            throw error;
          }),
        error,
      );
      assertIn('two');
    });
    assertIn(undefined);
  });

  it('passes on rejections and restores the labels', async () => {
    const error = new Error('from fn');
    const promise = context.with(one, async () => {
      await sleep(1);
      assertIn('one');
      throw error;
    });
    assertIn(undefined);
    await assert.rejects(promise, error);
    assertIn(undefined);
  });

  it('has the right labels in nested contexts, also in the same context again', () => {
    context.with(one, () => {
      context.with(two, () => {
        context.with(one, () => {
          context.with(one, () => assertIn('one'));
          assertIn('one');
        });
        assertIn('two');
      });
      assertIn('one');
    });
    assertIn(undefined);
  });

  it('keeps the labels in timers, ticks, microtasks and promises', async () => {
    const seen = [];
    await context.with(one, () =>
      Promise.all([
        new Promise((resolve) => setTimeout(resolve, 2)).then(() => seen.push(nameHere())),
        new Promise((resolve) =>
          setTimeout(() => {
            seen.push(nameHere());
            resolve();
          }, 1),
        ),
        new Promise((resolve) =>
          setImmediate(() => {
            seen.push(nameHere());
            resolve();
          }),
        ),
        new Promise((resolve) =>
          process.nextTick(() => {
            seen.push(nameHere());
            resolve();
          }),
        ),
        new Promise((resolve) =>
          queueMicrotask(() => {
            seen.push(nameHere());
            resolve();
          }),
        ),
      ]),
    );
    assert.deepEqual(seen, Array(5).fill('one'));
  });

  it('binds functions: context, this, arguments, result, length', () => {
    const self = {};
    const bound = context.bind(one, function (a, b) {
      assert.equal(this, self);
      assertIn('one');
      return a + b;
    });
    assert.equal(bound.length, 2);
    context.with(two, () => {
      assert.equal(bound.call(self, 1, 2), 3);
      assertIn('two');
    });
    assert.equal(context.bind(one, 42), 42);
  });

  it('binds event emitters: on, once, removal', () => {
    const emitter = context.bind(one, new EventEmitter());
    const seen = [];
    const listener = () => seen.push(nameHere());
    emitter.on('event', listener);
    emitter.once('event', () => seen.push(`once ${nameHere()}`));
    context.with(two, () => emitter.emit('event'));
    assert.deepEqual(seen, ['one', 'once one']);
    assert.equal(emitter.listenerCount('event'), 1);
    emitter.removeListener('event', listener);
    assert.equal(emitter.listenerCount('event'), 0);
    emitter.on('event', listener);
    emitter.removeAllListeners('event');
    assert.equal(emitter.emit('event'), false);
    assert.equal(context.bind(one, emitter), emitter);
  });

  it('calls the function even if the context is wrong', () => {
    assert.equal(
      context.with(undefined, () => 'called'),
      'called',
    );
    assert.equal(
      context.with(
        {
          getValue: () => {
            throw new Error('odd');
          },
        },
        () => 'called',
      ),
      'called',
    );
  });

  if (typeof contextManager.prototype.attach === 'function' && 'attach' in context) {
    it('attaches a context until its token is disposed of, once', async () => {
      await context.with(two, async () => {
        await null;
        const token = context.attach(one);
        assertIn('one');
        await sleep(1);
        assertIn('one');
        token.dispose();
        assertIn('two');
        context.with(one, () => {
          token.dispose();
          assertIn('one');
        });
        const same = context.attach(two);
        assertIn('two');
        same.dispose();
        assertIn('two');
        if (Symbol.dispose !== undefined && Symbol.dispose in token) {
          context.attach(one)[Symbol.dispose]();
          assertIn('two');
        }
      });
    });
  }

  it('merges labels of withLabels with those of spans', () => {
    withLabels({ tenant: 'a' }, () => {
      context.with(one, () => {
        assert.equal(getLabels().tenant, 'a');
        assertIn('one');
        withLabels({ tenant: 'b', job: 'x' }, () => {
          assert.equal(nameHere(), 'one');
          context.with(two, () => {
            assert.equal(nameHere(), 'two');
            assert.equal(getLabels().tenant, 'b');
            assert.equal(getLabels().job, 'x');
          });
        });
        assert.equal(getLabels().tenant, 'a');
        assert.equal(getLabels().job, undefined);
      });
      context.with(ROOT_CONTEXT, () => assert.deepEqual(getLabels(), { tenant: 'a' }));
    });
  });

  it('keeps labels of withLabels that were current when the span was started', () => {
    const { tracer } = program;
    let root;
    withLabels({ tenant: 'a', job: 'x' }, () => {
      root = tracer.startSpan('root', {}, ROOT_CONTEXT);
    });
    const inRoot = trace.setSpan(ROOT_CONTEXT, root);
    const own = () => {
      const { tenant, job, span_name } = getLabels();
      return [tenant, job, span_name];
    };
    context.with(inRoot, () => {
      assert.deepEqual(own(), ['a', 'x', 'root']);
      tracer.startActiveSpan('child', () => assert.deepEqual(own(), ['a', 'x', 'root']));
    });
    tracer.startActiveSpan('child elsewhere', {}, inRoot, () => {
      assert.deepEqual(own(), ['a', 'x', 'root']);
    });
    withLabels({ tenant: 'b' }, () => {
      context.with(inRoot, () => {
        assert.deepEqual(own(), ['b', 'x', 'root']);
        root.end();
        assert.deepEqual(own(), ['b', 'x', undefined]);
      });
      assert.deepEqual(getLabels(), { tenant: 'b' });
    });
  });

  it('replaces labels of withLabels that have names of span labels when a span becomes active', () => {
    const { tracer } = program;
    withLabels({ span_name: 'batch' }, () => {
      assert.deepEqual(getLabels(), { span_name: 'batch' });
      context.with(ROOT_CONTEXT, () => assert.deepEqual(getLabels(), { span_name: 'batch' }));
      tracer.startActiveSpan('root', (root) => {
        assert.equal(nameHere(), 'root');
        withLabels({ span_name: 'step' }, () => {
          assert.equal(nameHere(), 'step');
          assert.equal(getLabels().span_id, root.spanContext().spanId);
        });
        root.end();
      });
    });
  });
}
