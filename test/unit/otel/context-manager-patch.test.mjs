/**
 * Labels of contexts, with every kind of context manager: async contexts that share a context frame
 * from before, inside or after an activation keep their labels.
 */
import assert from 'node:assert/strict';
import { AsyncLocalStorage, AsyncResource } from 'node:async_hooks';
import { createRequire } from 'node:module';
import { context, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { getLabels, TracerProvider, withLabels } from 'otelpyroscope';
import { messageOf, runCode } from '../../support/run-child.mjs';

const require = createRequire(import.meta.url);
const { BasicTracerProvider } = require('@opentelemetry/sdk-trace-node');
const { activeLabels } = require('../../../lib/labels/active-labels.js');
const { probeBeforeHook } = require('../../../lib/labels/probes.js');

const nameHere = () => getLabels().span_name;

/** Calls the function in another context frame; afterwards the one from before is current again. */
const inOtherContextFrame = (fn) => new AsyncResource('test').runInAsyncScope(fn);

class WithStorage {
  storage = new AsyncLocalStorage();
  active() {
    return this.storage.getStore() ?? ROOT_CONTEXT;
  }
  with(given, fn, thisArg, ...args) {
    return this.storage.run(given, () => fn.call(thisArg, ...args));
  }
  bind(given, target) {
    return (...args) => this.with(given, target, undefined, ...args);
  }
  enable() {
    return this;
  }
  disable() {
    return this;
  }
}

const managers = {
  "the SDK's": AsyncLocalStorageContextManager,
  'one that restores the context frame from before itself': class extends WithStorage {
    with(...args) {
      return inOtherContextFrame(() => super.with(...args));
    }
  },
  'one that stores its context outside of context frames': class extends WithStorage {
    current = ROOT_CONTEXT;
    active() {
      return this.current;
    }
    with(given, fn, thisArg, ...args) {
      const before = this.current;
      this.current = given;
      try {
        return fn.call(thisArg, ...args);
      } finally {
        this.current = before;
      }
    }
  },
  'one that leaves a context only if there was another': class extends WithStorage {
    with(given, fn, thisArg, ...args) {
      const before = this.active();
      this.storage.enterWith(given);
      try {
        return fn.call(thisArg, ...args);
      } finally {
        if (before !== ROOT_CONTEXT) this.storage.enterWith(before);
      }
    }
  },
  'one that does not change the context at every third call': class extends WithStorage {
    calls = 0;
    with(given, fn, thisArg, ...args) {
      this.calls++;
      if (this.calls % 3 === 0) return fn.call(thisArg, ...args);
      return super.with(given, fn, thisArg, ...args);
    }
  },
};

describe('a patched context manager', () => {
  for (const [what, Manager] of Object.entries(managers)) {
    describe(what, () => {
      let contexts;
      beforeEach(() => {
        context.setGlobalContextManager(new Manager().enable());
        const tracer = new TracerProvider(new BasicTracerProvider()).getTracer('test');
        contexts = Object.fromEntries(
          ['a', 'b', 'c', 'd', 'e'].map((name) => {
            const span = tracer.startSpan(name, { root: true }, ROOT_CONTEXT);
            return [name, trace.setSpan(ROOT_CONTEXT, span)];
          }),
        );
      });
      afterEach(() => {
        context.disable();
        activeLabels.restore(0);
      });

      it('keeps the labels of async contexts that began before, inside and after an activation', async () => {
        const contextsBegun = [];
        const begin = (expected) => {
          assert.equal(nameHere(), expected);
          const run = AsyncLocalStorage.snapshot();
          const later = Promise.resolve().then(nameHere);
          contextsBegun.push({ expected, run, later });
        };
        const enter = (name, outer, fn) => {
          begin(outer);
          context.with(contexts[name], () => {
            begin(name);
            fn?.(name);
            begin(name);
          });
          begin(outer);
        };
        await inOtherContextFrame(async () => {
          enter('a', undefined, (a) => {
            enter('b', a, (b) => {
              enter('c', b, (c) => enter('b', c));
              enter('d', b);
              enter('b', b);
            });
            enter('c', a);
            enter('e', a, (e) => enter('a', e));
          });
          enter('d', undefined);
          assert.ok(contextsBegun.length > 30);
          for (const { expected, run, later } of contextsBegun) {
            assert.equal(run(nameHere), expected);
            assert.equal(await later, expected);
          }
        });
      });

      it('gives the function the same `this` and arguments as without the patch', () => {
        const bare = new Manager().enable();
        const see = function (...args) {
          return [this, args];
        };
        for (const rest of [
          [],
          [undefined],
          [null],
          [{}],
          [undefined, 1],
          [undefined, 1, 2],
          ['a', 1],
        ]) {
          const seen = context.with(contexts.a, see, ...rest);
          assert.deepEqual(seen, bare.with(contexts.a, see, ...rest));
        }
      });

      it('restores the labels when the function throws, at any depth', () => {
        const failing = (names) => {
          if (names.length === 0) throw new Error('expected');
          context.with(contexts[names[0]], () => {
            const outer = AsyncLocalStorage.snapshot();
            try {
              failing(names.slice(1));
            } finally {
              assert.equal(nameHere(), names[0]);
              assert.equal(outer(nameHere), names[0]);
            }
          });
        };
        assert.throws(() => failing(['a', 'b', 'c', 'b', 'e']), { message: 'expected' });
        assert.equal(nameHere(), undefined);
      });

      it('keeps labels that the function itself enters, ends or changes', async () => {
        const seen = [];
        const see = () => seen.push(Promise.resolve().then(nameHere));
        context.with(contexts.a, () => {
          withLabels({ own: 'yes' }, () => {
            context.with(contexts.b, () => {
              assert.deepEqual([nameHere(), getLabels().own], ['b', 'yes']);
              trace.getSpan(contexts.b).end();
              see();
            });
            assert.deepEqual([nameHere(), getLabels().own], ['a', 'yes']);
            context.with(contexts.c, see);
          });
          trace.getSpan(contexts.a).end();
          assert.equal(nameHere(), undefined);
          context.with(contexts.d, see);
          see();
          // Again the same context, but no longer the same labels.
          context.with(contexts.a, see);
          see();
        });
        assert.deepEqual(await Promise.all(seen), [undefined, 'c', 'd', undefined, 'a', undefined]);
      });
    });
  }

  it('keeps its properties as V8 had them, in no dictionary: every request would pay for that', async () => {
    const code = `
      const { context, ROOT_CONTEXT, trace } = require('@opentelemetry/api');
      const { AsyncLocalStorageContextManager } = require('@opentelemetry/context-async-hooks');
      const { BasicTracerProvider } = require('@opentelemetry/sdk-trace-node');
      const { TracerProvider } = require('otelpyroscope');
      const manager = new AsyncLocalStorageContextManager().enable();
      context.setGlobalContextManager(manager);
      const before = %HasFastProperties(manager);
      const span = new TracerProvider(new BasicTracerProvider()).getTracer('test').startSpan('a');
      const isPatched = Object.hasOwn(manager, 'with');
      process.send({ before, isPatched, after: %HasFastProperties(manager) });`;
    const found = await messageOf(runCode(code, { flags: ['--allow-natives-syntax'] }));
    assert.deepEqual(found, { before: true, isPatched: true, after: true });
  });

  const hasContextFrames = !probeBeforeHook(new AsyncLocalStorage());

  if (hasContextFrames) {
    it('has no other context frames made than those of the manager', () => {
      // A test before may have ended a span in this async context.
      activeLabels.restore(0);
      context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
      const tracer = new TracerProvider(new BasicTracerProvider()).getTracer('test');
      const [one, two] = ['one', 'two'].map((name) =>
        trace.setSpan(ROOT_CONTEXT, tracer.startSpan(name, {}, ROOT_CONTEXT)),
      );
      const { enterWith } = AsyncLocalStorage.prototype;
      let frames = 0;
      try {
        context.with(one, () => {
          AsyncLocalStorage.prototype.enterWith = function (store) {
            frames++;
            return enterWith.call(this, store);
          };
          context.with(two, () => assert.equal(nameHere(), 'two'));
          assert.equal(nameHere(), 'one');
        });
      } finally {
        AsyncLocalStorage.prototype.enterWith = enterWith;
        context.disable();
        activeLabels.restore(0);
      }
      // The manager's own: of the two that end, and the one that begins.
      assert.equal(frames, 3);
    });

    it('has no store of the package in context frames, only that of OpenTelemetry', async () => {
      const sizes = await messageOf(
        runCode(
          `const frames = require('internal/async_context_frame');
           const current = () => frames.current()?.size ?? 0;
           const { CpuProfiler, TracerProvider, withLabels } = require('otelpyroscope');
           const { context, trace } = require('@opentelemetry/api');
           const { NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');
           const sizes = { loaded: current() };
           const profiler = new CpuProfiler();
           profiler.start();
           sizes.started = current();
           const provider = new TracerProvider(new NodeTracerProvider());
           provider.register();
           const tracer = trace.getTracer('test');
           tracer.startActiveSpan('outer', () => {
             sizes.first = current();
             tracer.startActiveSpan('inner', { root: true }, () => {
               sizes.second = current();
             });
           });
           sizes.after = current();
           profiler.stop().then(() => process.send(sizes));`,
          { flags: ['--expose-internals', ...process.execArgv] },
        ),
      );
      assert.deepEqual(sizes, { loaded: 0, started: 0, first: 1, second: 1, after: 1 });
    });
  }
});
