/** `attach` of a patched context manager, with tokens of every kind: labels are restored, nothing throws. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { context, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { getLabels, TracerProvider } from 'otelpyroscope';

const require = createRequire(import.meta.url);
const { BasicTracerProvider } = require('@opentelemetry/sdk-trace-base');
const { activeLabels } = require('../../../lib/labels/active-labels.js');

const nameHere = () => getLabels().span_name;

class PrivateToken {
  #disposed = 0;
  dispose() {
    this.#disposed++;
    return this.#disposed;
  }
  [Symbol.dispose]() {
    this.#disposed++;
  }
}

const shared = { dispose: () => 1 };
/** Functions that return a token. The last dispose method of each is called in its test. */
const tokens = {
  'a plain object': () => ({ dispose: () => 1 }),
  'an object with private state': () => new PrivateToken(),
  'a frozen object': () => Object.freeze({ dispose: () => 1 }),
  'a frozen object with private state': () => Object.freeze(new PrivateToken()),
  'an object with an accessor': () => ({
    get dispose() {
      return () => 1;
    },
  }),
  'an object with an accessor that cannot be redefined': () =>
    Object.defineProperty({}, 'dispose', { get: () => () => 1 }),
  'one object for all contexts': () => shared,
  'a proxy that refuses properties': () =>
    new Proxy({ dispose: () => 1 }, { defineProperty: () => false }),
};
const withoutDispose = {
  'no token': () => undefined,
  'an object without dispose()': () => ({}),
  'an object whose dispose throws when it is read': () => ({
    get dispose() {
      throw new Error('of the token');
    },
  }),
};

describe('attach of a context manager that returns', () => {
  let contexts;
  const setUp = (token) => {
    const manager = new AsyncLocalStorageContextManager();
    manager.attach = token;
    context.setGlobalContextManager(manager);
    const tracer = new TracerProvider(new BasicTracerProvider()).getTracer('test');
    contexts = ['one', 'two'].map((name) =>
      trace.setSpan(ROOT_CONTEXT, tracer.startSpan(name, {}, ROOT_CONTEXT)),
    );
    return manager;
  };
  afterEach(() => {
    context.disable();
    activeLabels.restore(0);
  });

  for (const [what, token] of Object.entries(tokens)) {
    it(`${what}: labels follow attach and dispose`, () => {
      const manager = setUp(token);
      const one = manager.attach(contexts[0]);
      assert.equal(nameHere(), 'one');
      const two = manager.attach(contexts[1]);
      assert.equal(nameHere(), 'two');
      assert.equal(two.dispose(), 1);
      assert.equal(nameHere(), 'one');
      if (what !== 'one object for all contexts') two.dispose();
      assert.equal(nameHere(), 'one');
      one.dispose();
      assert.equal(nameHere(), undefined);
    });
  }

  it('a token of a `using` declaration: labels are restored', () => {
    for (const token of [() => new PrivateToken(), () => Object.freeze(new PrivateToken())]) {
      const manager = setUp(token);
      const attached = manager.attach(contexts[0]);
      assert.equal(nameHere(), 'one');
      attached[Symbol.dispose]();
      assert.equal(nameHere(), undefined);
      context.disable();
    }
  });

  for (const [what, token] of Object.entries(withoutDispose)) {
    it(`${what}: nothing is thrown, and no labels stay`, () => {
      const manager = setUp(token);
      manager.attach(contexts[0]);
      assert.equal(nameHere(), undefined);
    });
  }
});
