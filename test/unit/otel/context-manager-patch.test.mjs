/**
 * Labels that are put into the frame that a context manager makes: flows that share a frame of
 * before, from inside and of after keep theirs, whatever the manager does.
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

/** Calls the function within a frame that is then the very one from before again. */
const inFrameOfItsOwn = (fn) => new AsyncResource('test').runInAsyncScope(fn);

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
  'one that brings back the frame of before itself': class extends WithStorage {
    with(...args) {
      return inFrameOfItsOwn(() => super.with(...args));
    }
  },
  'one that keeps its context outside of frames': class extends WithStorage {
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
  'one that leaves a context only when there is another': class extends WithStorage {
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
  'one that leaves every third context as it was': class extends WithStorage {
    calls = 0;
    with(given, fn, thisArg, ...args) {
      this.calls++;
      if (this.calls % 3 === 0) return fn.call(thisArg, ...args);
      return super.with(given, fn, thisArg, ...args);
    }
  },
};

describe('context manager with labels in its frames', () => {
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
        activeLabels.enter(undefined);
      });

      it('keeps the labels of flows that have begun before, inside and after', async () => {
        const flows = [];
        const begin = (expected) => {
          assert.equal(nameHere(), expected);
          const run = AsyncLocalStorage.snapshot();
          const later = Promise.resolve().then(nameHere);
          flows.push({ expected, run, later });
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
        await inFrameOfItsOwn(async () => {
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
          assert.ok(flows.length > 30);
          for (const { expected, run, later } of flows) {
            assert.equal(run(nameHere), expected);
            assert.equal(await later, expected);
          }
        });
      });

      it('brings the labels back when the function throws, at any depth', () => {
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

      it('keeps labels that the function enters, ends or changes for itself', async () => {
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

  const hasFrames = !probeBeforeHook(new AsyncLocalStorage());

  it('can put labels into frames wherever there are any', () => {
    assert.equal(activeLabels.canReplace, hasFrames);
  });

  if (hasFrames) {
    it('makes no frame beside those of the manager', () => {
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
        activeLabels.enter(undefined);
      }
      // The manager's own: of the two that end, and the one that begins.
      assert.equal(frames, 3);
    });

    it('is alone in the frames with OpenTelemetry', async () => {
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
      assert.deepEqual(sizes, { loaded: 0, started: 0, first: 2, second: 2, after: 2 });
    });
  }
});
