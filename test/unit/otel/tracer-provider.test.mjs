/** A wrapped provider beside other tools: `register` with private fields, and methods that are replaced. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { context, ProxyTracerProvider, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { InstrumentationBase } from '@opentelemetry/instrumentation';
import { getLabels, register, TracerProvider } from 'otelpyroscope';

const require = createRequire(import.meta.url);
const { BasicTracerProvider } = require('@opentelemetry/sdk-trace-base');

/** Registers itself as the provider of dd-trace does, which has private fields. */
class PrivateProvider extends BasicTracerProvider {
  #contextManager = new AsyncLocalStorageContextManager();

  register() {
    context.setGlobalContextManager(this.#contextManager);
    if (!trace.setGlobalTracerProvider(this)) trace.getTracerProvider().setDelegate(this);
    return 'registered';
  }
}

/** The span's own id, and that of the labels inside the span. */
const idsIn = (tracer) =>
  tracer.startActiveSpan('request', (span) => {
    const { span_id } = getLabels();
    span.end();
    return [span.spanContext().spanId, span_id];
  });
const assertLabelled = (tracer) => {
  const [id, label] = idsIn(tracer);
  assert.equal(label, id);
};

afterEach(() => {
  trace.disable();
  context.disable();
});

describe('register() of a wrapped provider', () => {
  it('registers the wrapper where the provider has private fields', () => {
    const wrapper = new TracerProvider(new PrivateProvider());
    assert.equal(wrapper.register(), 'registered');
    assert.equal(trace.getTracerProvider().getDelegate(), wrapper);
    assertLabelled(trace.getTracer('test'));
  });

  it('registers the wrapper where the provider sets itself without the proxy of the api', () => {
    class Direct extends PrivateProvider {
      #key = Symbol.for('opentelemetry.js.api.1');
      register() {
        super.register();
        globalThis[this.#key].trace = this;
      }
    }
    const wrapper = new TracerProvider(new Direct());
    wrapper.register();
    assert.equal(globalThis[Symbol.for('opentelemetry.js.api.1')].trace, wrapper);
    assert.ok(!(trace.getTracerProvider() instanceof ProxyTracerProvider));
    assertLabelled(trace.getTracer('test'));
  });

  it('has labels where register() of the package is on as well', () => {
    const undo = register();
    try {
      new TracerProvider(new PrivateProvider()).register();
      assertLabelled(trace.getTracer('test'));
    } finally {
      undo();
    }
  });

  it('throws what the provider itself throws, after both ways', () => {
    let calls = 0;
    class Failing extends BasicTracerProvider {
      register() {
        calls++;
        throw new Error('no exporter');
      }
    }
    assert.throws(() => new TracerProvider(new Failing()).register(), { message: 'no exporter' });
    assert.equal(calls, 2);
  });
});

describe('methods of a wrapped tracer', () => {
  let tracer;
  beforeEach(() => {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager());
    tracer = new TracerProvider(new BasicTracerProvider()).getTracer('test');
  });

  for (const name of ['startSpan', 'startActiveSpan']) {
    it(`${name} can be wrapped by an instrumentation, and unwrapped: spans have labels`, () => {
      let calls = 0;
      const instrumentation = new (class extends InstrumentationBase {
        init() {}
        wrap() {
          this._wrap(tracer, name, (original) => {
            return function (...args) {
              calls++;
              return original.apply(this, args);
            };
          });
        }
        unwrap() {
          this._unwrap(tracer, name);
        }
      })('test', '1.0.0', { enabled: false });
      const use = () => {
        assertLabelled(tracer);
        tracer.startSpan('other').end();
      };
      instrumentation.wrap();
      use();
      assert.equal(calls, 1);
      instrumentation.unwrap();
      use();
      assert.equal(calls, 1);
    });

    it(`${name} can be redefined, assigned, deleted and frozen: spans have labels`, () => {
      const original = tracer[name];
      const value = (...args) => original.apply(tracer, args);
      Object.defineProperty(tracer, name, { value, configurable: true, writable: true });
      assertLabelled(tracer);
      tracer[name] = original;
      assertLabelled(tracer);
      delete tracer[name];
      assert.equal(tracer[name], original);
      assertLabelled(tracer);
      Object.freeze(tracer);
      assertLabelled(tracer);
    });
  }

  it('getTracer of the provider can be replaced and restored, and the provider inside keeps its own', () => {
    const inner = new BasicTracerProvider();
    const { getTracer } = inner;
    const wrapper = new TracerProvider(inner);
    let calls = 0;
    wrapper.getTracer = function (...args) {
      calls++;
      return TracerProvider.prototype.getTracer.apply(this, args);
    };
    assertLabelled(wrapper.getTracer('test'));
    assert.equal(calls, 1);
    assert.equal(inner.getTracer, getTracer);
    delete wrapper.getTracer;
    assertLabelled(wrapper.getTracer('test'));
    assert.equal(calls, 1);
  });

  it('of the SDK are those of other tools again after register() and its undo', () => {
    const provider = new BasicTracerProvider();
    const inner = provider.getTracer('used');
    trace.setGlobalTracerProvider(provider);
    const { startSpan } = inner;
    const spy = (...args) => startSpan.apply(inner, args);
    inner.startSpan = spy;
    const undo = register();
    assertLabelled(inner);
    const labelled = inner.startSpan;
    const undoAgain = register();
    undo();
    undoAgain();
    assert.equal(inner.startSpan, spy);
    const undoLast = register();
    const later = (...args) => labelled.apply(inner, args);
    inner.startSpan = later;
    undoLast();
    assert.equal(inner.startSpan, later);
  });

  it('of the SDK may be frozen when register() is called', () => {
    const provider = new BasicTracerProvider();
    const frozen = Object.freeze(provider.getTracer('frozen'));
    const used = provider.getTracer('used');
    trace.setGlobalTracerProvider(provider);
    const undo = register();
    try {
      assert.equal(idsIn(frozen)[1], undefined);
      assertLabelled(used);
      assertLabelled(trace.getTracer('later'));
    } finally {
      undo();
    }
  });
});
