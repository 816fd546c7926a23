/** `register` and `PyroscopeSpanProcessor` with every SDK, before and after the provider, and undone. */
import assert from 'node:assert/strict';
import { getLabels, PyroscopeSpanProcessor, register, Scope, TracerProvider } from 'otelpyroscope';
import { sdks } from '../../support/sdks.mjs';

const PROFILE_ID = 'pyroscope.profile.id';

for (const sdk of sdks) {
  describe(`with OpenTelemetry SDK ${sdk.version}`, () => {
    let exporter;
    const undos = [];

    const setUp = (options) => {
      const provider = sdk.createProvider({ exporter, ...options });
      const [ContextManager] = Object.values(sdk.contextManagers).slice(-1);
      sdk.registerProvider(provider, new ContextManager().enable());
      return provider;
    };
    const registerLabels = (options) => {
      const undo = register(options);
      undos.push(undo);
      return undo;
    };
    /** The labels inside a span of this tracer, and the span. */
    const inSpan = (tracer, name = 'request') =>
      tracer.startActiveSpan(name, (span) => {
        span.end = span.end.bind(span);
        const labels = getLabels();
        span.end();
        return { labels, id: span.spanContext().spanId };
      });
    const assertLabelled = (tracer) => {
      const { labels, id } = inSpan(tracer);
      assert.equal(labels.span_id, id);
      assert.equal(labels.span_name, 'request');
      const exported = exporter.getFinishedSpans().at(-1);
      assert.equal(exported.attributes[PROFILE_ID], id);
      assert.deepEqual(getLabels(), {});
    };
    const assertNotLabelled = (tracer) => {
      assert.deepEqual(inSpan(tracer).labels, {});
      assert.equal(exporter.getFinishedSpans().at(-1).attributes[PROFILE_ID], undefined);
    };

    beforeEach(() => {
      sdk.reset();
      exporter = sdk.createExporter();
    });

    afterEach(() => {
      for (const undo of undos.splice(0)) undo();
      sdk.reset();
    });

    it('register labels the spans of a provider that is registered later', () => {
      const early = sdk.api.trace.getTracer('early');
      registerLabels();
      setUp();
      assertLabelled(sdk.api.trace.getTracer('late'));
      assertLabelled(early);
    });

    it('register labels the spans of a registered provider, also those of its existing tracers', () => {
      const early = sdk.api.trace.getTracer('early');
      const provider = setUp();
      const used = sdk.api.trace.getTracer('used');
      const direct = provider.getTracer('direct');
      assertNotLabelled(used);
      registerLabels();
      for (const tracer of [used, direct, early, sdk.api.trace.getTracer('late')]) {
        assertLabelled(tracer);
      }
    });

    it('register labels the spans of the next provider as well', () => {
      registerLabels();
      setUp();
      assertLabelled(sdk.api.trace.getTracer('first'));
      sdk.api.trace.disable();
      sdk.api.context.disable();
      setUp();
      assertLabelled(sdk.api.trace.getTracer('second'));
    });

    it('register can be undone, whether called before or after the provider, and called again', () => {
      const undoEarly = registerLabels();
      setUp();
      const tracer = sdk.api.trace.getTracer('tracer');
      assertLabelled(tracer);
      undoEarly();
      assertNotLabelled(tracer);
      assertNotLabelled(sdk.api.trace.getTracer('late'));
      const undoLate = registerLabels();
      assertLabelled(sdk.api.trace.getTracer('late'));
      undoLate();
      undoLate();
      assertNotLabelled(sdk.api.trace.getTracer('late'));
      sdk.api.trace.disable();
      setUp();
      assertNotLabelled(sdk.api.trace.getTracer('last'));
    });

    it('register takes options, and those of the first call apply', () => {
      const undoFirst = registerLabels({ spanNameScope: Scope.None, traceIdLabel: false });
      registerLabels({ spanNameScope: Scope.AllSpans });
      setUp();
      const { labels, id } = inSpan(sdk.api.trace.getTracer('tracer'));
      assert.deepEqual(labels, { span_id: id });
      undoFirst();
      assertLabelled(sdk.api.trace.getTracer('tracer'));
      assert.throws(() => register({ spanScope: 1 }), TypeError);
    });

    it('register leaves the methods and properties of the provider available', async () => {
      const provider = setUp();
      registerLabels();
      const proxy = sdk.api.trace.getTracerProvider();
      await proxy.getDelegate().forceFlush();
      const mark = Symbol('mark');
      provider[mark] = 1;
      assert.equal(proxy.getDelegate()[mark], 1);
    });

    it('the span processor labels the spans of its provider, children by their root', () => {
      setUp({ processors: [new PyroscopeSpanProcessor({ spanNameScope: Scope.AllSpans })] });
      const tracer = sdk.api.trace.getTracer('tracer');
      assertLabelled(tracer);
      tracer.startActiveSpan('request', (root) => {
        const { labels } = inSpan(tracer, 'inner');
        assert.equal(labels.span_id, root.spanContext().spanId);
        assert.equal(labels.span_name, 'inner');
        assert.equal(exporter.getFinishedSpans().at(-1).attributes[PROFILE_ID], undefined);
        root.end();
      });
    });

    it('the span processor, a wrapper and register together label a span once', () => {
      registerLabels({ spanNameScope: Scope.None });
      const processors = [new PyroscopeSpanProcessor({ spanNameScope: Scope.AllSpans })];
      const provider = sdk.createProvider({ exporter, processors });
      const [ContextManager] = Object.values(sdk.contextManagers).slice(-1);
      sdk.registerProvider(new TracerProvider(provider), new ContextManager().enable());
      const tracer = sdk.api.trace.getTracer('tracer');
      assertLabelled(tracer);
    });

    it('the span processor can be flushed and shut down', async () => {
      const processor = new PyroscopeSpanProcessor();
      await processor.forceFlush();
      await processor.shutdown();
      assert.throws(() => new PyroscopeSpanProcessor({ scope: 1 }), TypeError);
    });
  });
}
