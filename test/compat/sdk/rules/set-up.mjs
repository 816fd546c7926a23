/** Registering of context managers and wrapped providers, and pass-through of the wrapper: on real SDKs. */
import assert from 'node:assert/strict';
import { getLabels, Scope, TracerProvider } from 'otelpyroscope';
import { API_GLOBAL } from '../../../support/sdks.mjs';
import { startTracing } from '../../../support/labels.mjs';

/** Registers the cases for one SDK. */
export function setUpRules(sdk) {
  const { api } = sdk;
  const { context, trace } = api;
  const Manager = sdk.contextManagers.AsyncLocalStorageContextManager;
  const assertLabelled = (tracer) => {
    tracer.startActiveSpan('root', (span) => {
      assert.equal(getLabels().span_id, span.spanContext().spanId);
      span.end();
    });
    const span = tracer.startSpan('root');
    context.with(trace.setSpan(context.active(), span), () => {
      assert.equal(getLabels().span_id, span.spanContext().spanId);
    });
    span.end();
  };

  afterEach(() => {
    assert.deepEqual(getLabels(), {}, 'labels outside of any span');
    sdk.reset();
  });

  it('works with a context manager registered before the provider is wrapped', () => {
    context.setGlobalContextManager(new Manager().enable());
    assertLabelled(new TracerProvider(sdk.createProvider()).getTracer('test'));
  });

  it('works with a context manager registered after it', () => {
    const tracer = new TracerProvider(sdk.createProvider()).getTracer('test');
    context.setGlobalContextManager(new Manager().enable());
    assertLabelled(tracer);
  });

  it('works with a context manager registered again', () => {
    const tracer = new TracerProvider(sdk.createProvider()).getTracer('test');
    for (let time = 0; time < 3; time++) {
      context.setGlobalContextManager(new Manager().enable());
      assertLabelled(tracer);
      context.disable();
    }
    const manager = new Manager().enable();
    for (let time = 0; time < 2; time++) {
      context.setGlobalContextManager(manager);
      assertLabelled(tracer);
      context.disable();
    }
  });

  it('does not break spans if no context manager is registered', async () => {
    const exporter = sdk.createExporter();
    const inner = sdk.createProvider({ exporter });
    const tracer = new TracerProvider(inner).getTracer('test');
    const result = tracer.startActiveSpan('root', (span) => {
      assert.deepEqual(getLabels(), {});
      span.end();
      return 'result';
    });
    assert.equal(result, 'result');
    await inner.forceFlush();
    const [span] = exporter.getFinishedSpans();
    assert.equal(span.attributes['pyroscope.profile.id'], span.spanContext().spanId);
  });

  it('does not break a context manager that cannot be patched', () => {
    const manager = Object.freeze(new Manager());
    context.setGlobalContextManager(manager);
    const tracer = new TracerProvider(sdk.createProvider()).getTracer('test');
    tracer.startActiveSpan('root', (span) => {
      assert.equal(trace.getSpan(context.active()), span);
      assert.deepEqual(getLabels(), {});
    });
  });

  it('keeps the labels in functions bound by a context manager whose bind does not call with', () => {
    class Rebinding extends Manager {
      bind(ctx, target) {
        const run = super.with.bind(this);
        return typeof target === 'function'
          ? (...args) => run(ctx, target, undefined, ...args)
          : target;
      }
    }
    context.setGlobalContextManager(new Rebinding().enable());
    const tracer = new TracerProvider(sdk.createProvider()).getTracer('test');
    const span = tracer.startSpan('root');
    const bound = context.bind(trace.setSpan(context.active(), span), (a, b) => {
      assert.equal(getLabels().span_id, span.spanContext().spanId);
      return a + b;
    });
    assert.equal(bound(1, 2), 3);
  });

  it("registers the wrapper, by the SDK's register or the api's", () => {
    const { provider, tracer, inner } = startTracing(sdk, { contextManager: Manager });
    assertLabelled(tracer);
    assert.equal(api.trace.getTracerProvider().getDelegate(), provider);
    assert.notEqual(api.trace.getTracerProvider().getDelegate(), inner);
    // register() also sets up propagation, which the SDK's own does here.
    if (typeof inner.register === 'function') {
      const carrier = {};
      tracer.startActiveSpan('root', () => api.propagation.inject(context.active(), carrier));
      assert.match(carrier.traceparent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/);
    }
  });

  it('passes everything else through to the wrapped provider', async () => {
    const exporter = sdk.createExporter();
    const inner = sdk.createProvider({ exporter });
    const provider = new TracerProvider(inner);
    assert.ok(provider instanceof TracerProvider);
    assert.equal(typeof provider.forceFlush, 'function');
    assert.equal('forceFlush' in provider, true);
    assert.equal('neverHeardOf' in provider, false);
    assert.equal(provider.neverHeardOf, undefined);
    for (const name of ['resource', '_resource']) assert.equal(provider[name], inner[name]);
    assert.equal(provider.shutdown, provider.shutdown);
    provider.getTracer('test').startSpan('span').end();
    await provider.forceFlush();
    assert.equal(exporter.getFinishedSpans().length, 1);
    if (typeof inner.getActiveSpanProcessor === 'function') {
      assert.equal(provider.getActiveSpanProcessor(), inner.getActiveSpanProcessor());
    }
    await provider.shutdown();
    provider.getTracer('test').startSpan('late').end();
    assert.equal(exporter.getFinishedSpans().length, 0, 'shutdown of the exporter empties it');
  });

  it('wraps a tracer once, and passes through what a tracer has', () => {
    const inner = sdk.createProvider();
    const provider = new TracerProvider(inner);
    const tracer = provider.getTracer('test', '1.0.0');
    assert.equal(provider.getTracer('test', '1.0.0'), tracer);
    assert.notEqual(provider.getTracer('test', '2.0.0'), tracer);
    const plain = inner.getTracer('test', '1.0.0');
    assert.notEqual(tracer, plain);
    assert.ok(tracer instanceof plain.constructor);
    for (const name of ['instrumentationScope', 'instrumentationLibrary', 'resource']) {
      assert.equal(tracer[name], plain[name]);
    }
  });

  it("returns the SDK's own spans and results", () => {
    const { provider, inner, tracer } = startTracing(sdk, { contextManager: Manager });
    const plain = inner.getTracer('test');
    const Span = plain.startSpan('plain').constructor;
    const span = provider.getTracer('test').startSpan('wrapped', { attributes: { a: 1 } });
    assert.equal(span.constructor, Span);
    assert.equal(span.attributes.a, 1);
    assert.equal(JSON.stringify(Object.keys(span)).includes('otelpyroscope'), false);
    assert.equal(
      tracer.startActiveSpan('x', () => 42),
      42,
    );
    assert.equal(
      tracer.startActiveSpan('x', {}, () => 43),
      43,
    );
    assert.equal(
      tracer.startActiveSpan('x', undefined, undefined, () => 44),
      44,
    );
    assert.throws(
      () =>
        tracer.startActiveSpan('x', () => {
          throw new RangeError('of the application');
        }),
      RangeError,
    );
    tracer.startActiveSpan('root', (root) => {
      assert.equal(trace.getSpan(context.active()), root);
      const child = tracer.startSpan('child');
      assert.equal(child.spanContext().traceId, root.spanContext().traceId);
      assert.equal(
        child.parentSpanContext?.spanId ?? child.parentSpanId,
        root.spanContext().spanId,
      );
    });
  });

  it('labels frozen spans', () => {
    startTracing(sdk, { contextManager: Manager });
    const tracer = new TracerProvider({
      getTracer: () => ({
        startSpan: () =>
          Object.freeze(
            trace.wrapSpanContext({
              traceId: 'a'.repeat(32),
              spanId: 'b'.repeat(16),
              traceFlags: 1,
            }),
          ),
      }),
    }).getTracer('frozen');
    const expected = { trace_id: 'a'.repeat(32), span_id: 'b'.repeat(16), span_name: 'frozen' };
    tracer.startActiveSpan('frozen', (span) => {
      assert.deepEqual(getLabels(), expected);
      tracer.startActiveSpan('child', () => assert.deepEqual(getLabels(), expected));
      span.end();
    });
  });

  it("makes a local root of a span to which the provider gives another trace than its parent's", () => {
    const { tracer } = startTracing(sdk, { contextManager: Manager });
    let count = 0;
    const detached = new TracerProvider({
      getTracer: () => ({
        startSpan: () =>
          trace.wrapSpanContext({
            traceId: String(++count).padStart(32, '0'),
            spanId: 'b'.repeat(16),
            traceFlags: 1,
          }),
      }),
    }).getTracer('detached');
    tracer.startActiveSpan('root', () => {
      for (const trace_id of ['1', '2'].map((id) => id.padStart(32, '0'))) {
        detached.startActiveSpan('detached', () => {
          const expected = { trace_id, span_id: 'b'.repeat(16), span_name: 'detached' };
          assert.deepEqual(getLabels(), expected);
        });
      }
    });
  });

  it('leaves a span without labels rather than throw into the application', () => {
    startTracing(sdk, { contextManager: Manager });
    const broken = {
      spanContext: () => {
        throw new Error('broken span');
      },
      end: () => undefined,
    };
    const tracer = new TracerProvider({
      getTracer: () => ({ startSpan: () => broken }),
    }).getTracer('broken');
    assert.equal(tracer.startSpan('broken'), broken);
    assert.equal(
      tracer.startActiveSpan('broken', (span) => {
        assert.deepEqual(getLabels(), {});
        span.end();
        return span;
      }),
      broken,
    );
  });

  it('passes on errors of the wrapped provider', () => {
    const provider = new TracerProvider({
      getTracer: () => ({
        startSpan: () => {
          throw new RangeError('of the tracer');
        },
      }),
    });
    assert.throws(() => provider.getTracer('x').startSpan('y'), RangeError);
  });

  it('refuses objects that are no provider, and unknown or wrong options', () => {
    for (const wrong of [undefined, null, 'tracer', {}, { getTracer: 1 }]) {
      assert.throws(() => new TracerProvider(wrong), { name: 'TypeError', message: /getTracer/ });
    }
    const tp = sdk.createProvider();
    assert.throws(() => new TracerProvider(tp, { spanIdScope: 3 }), {
      name: 'TypeError',
      message: /spanIdScope.*RootSpan/,
    });
    assert.throws(() => new TracerProvider(tp, { scope: Scope.None }), {
      name: 'TypeError',
      message: /scope/,
    });
  });

  it('finds the globals of this version of the api', () => {
    startTracing(sdk, { contextManager: Manager });
    assert.ok(globalThis[API_GLOBAL].context instanceof Manager);
  });
}
