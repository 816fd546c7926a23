/** The rules by which `span_name` follows the name of a span, on the spans of a real SDK and others. */
import assert from 'node:assert/strict';
import { getLabels, PyroscopeSpanProcessor, Scope, TracerProvider } from 'otelpyroscope';
import { byName, idOf, rootLabels, sleep, startTracing } from '../../../support/labels.mjs';

const LABELS = Symbol.for('otelpyroscope.span-labels.v7');

/** Registers the cases for one SDK and one of its context managers. */
export function spanNameRules(sdk, contextManager) {
  const start = (config = {}) => startTracing(sdk, { contextManager, ...config });

  afterEach(() => {
    assert.deepEqual(getLabels(), {}, 'labels outside of any span');
    sdk.reset();
  });

  it('has the name that a span has when the labels are read', async () => {
    const program = start({ options: { spanNameScope: Scope.AllSpans } });
    const { tracer, context, trace } = program;
    let later;
    await tracer.startActiveSpan('GET', async (span) => {
      assert.equal(getLabels().span_name, 'GET');
      span.updateName('GET /users/:id');
      assert.equal(getLabels().span_name, 'GET /users/:id');
      context.with(trace.setSpan(context.active(), span), () => {
        assert.equal(getLabels().span_name, 'GET /users/:id');
      });
      tracer.startActiveSpan('child', (child) => {
        child.updateName('renamed');
        child.updateName('renamed twice');
        assert.equal(getLabels().span_name, 'renamed twice');
        child.end();
        assert.equal(getLabels().span_name, 'GET /users/:id');
      });
      later = sleep(2).then(() => getLabels().span_name);
      span.updateName('GET /users/:id/cart');
      span.end();
      span.updateName('too late');
    });
    assert.equal(await later, 'GET /users/:id/cart');
  });

  it("has the root's last name under a child that goes on after it", async () => {
    const { tracer, context, trace } = start({ options: { spanIdScope: Scope.AllSpans } });
    await tracer.startActiveSpan('GET', async (root) => {
      const child = tracer.startSpan('child');
      const inChild = context.with(trace.setSpan(context.active(), child), async () => {
        assert.equal(getLabels().span_name, 'GET');
        await sleep(2);
        assert.deepEqual(getLabels(), {
          ...rootLabels(root, 'GET /cart/:id'),
          span_id: idOf(child),
        });
        child.end();
      });
      root.updateName('GET /cart/:id');
      root.end();
      await inChild;
    });
  });

  it('has the name at the start where the span has no readable one', () => {
    const spanOf = (fields) => ({
      spanContext: () => ({ traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), traceFlags: 1 }),
      setAttribute: () => undefined,
      end: () => undefined,
      ...fields,
    });
    const throwing = Object.defineProperty(spanOf({}), 'name', {
      get: () => {
        throw new Error('not here');
      },
    });
    const hostile = new Proxy(spanOf({ name: 'proxied' }), {
      get: (target, name, receiver) => {
        if (name === 'attributes') throw new Error('not here');
        return Reflect.get(target, name, receiver);
      },
    });
    const { context, trace } = start();
    for (const [span, name] of [
      [spanOf({}), 'start'],
      [spanOf({ name: 7 }), 'start'],
      [Object.freeze(spanOf({})), 'start'],
      [throwing, 'start'],
      [hostile, 'proxied'],
    ]) {
      const provider = new TracerProvider(
        { getTracer: () => ({ startSpan: () => span }) },
        { attributeLabels: ['http.route'] },
      );
      const own = provider.getTracer('test').startSpan('start', {}, context.active());
      context.with(trace.setSpan(context.active(), own), () => {
        assert.equal(getLabels().span_name, name);
      });
      own.end();
    }
  });

  it('has the name at the start for unsampled spans, which have no other', () => {
    const { tracer } = start({ sampler: new sdk.AlwaysOffSampler() });
    tracer.startActiveSpan('GET', (root) => {
      root.updateName('GET /cart/:id');
      assert.deepEqual(getLabels(), { span_name: 'GET' });
      tracer.startActiveSpan('child', (child) => {
        child.updateName('renamed');
        child.end();
        child.updateName('too late');
        assert.deepEqual(getLabels(), { span_name: 'GET' });
      });
      root.end();
      root.updateName('too late');
      assert.deepEqual(getLabels(), {});
    });
  });

  it('has the last name of spans that are recorded but not sampled', async () => {
    const { tracer } = start({ sampler: byName });
    let later;
    tracer.startActiveSpan('record root', (root) => {
      root.updateName('recorded');
      assert.deepEqual(getLabels(), { span_name: 'recorded' });
      later = sleep(1).then(() => assert.deepEqual(getLabels(), { span_name: 'recorded twice' }));
      root.updateName('recorded twice');
      root.end();
      root.updateName('too late');
    });
    await later;
  });

  it("keeps an unsampled root's name over a sampled child that is renamed", () => {
    const { tracer } = start({ sampler: byName });
    tracer.startActiveSpan('off root', () => {
      tracer.startActiveSpan('sampled', (child) => {
        child.updateName('renamed');
        assert.deepEqual(getLabels(), rootLabels(child, 'off root'));
        child.end();
        assert.deepEqual(getLabels(), { span_name: 'off root' });
      });
    });
  });

  it('has the last name of a local root with a remote parent', async () => {
    const { tracer, context, trace, ROOT_CONTEXT } = start();
    const remote = {
      traceId: '0af7651916cd43dd8448eb211c80319c',
      spanId: 'b7ad6b7169203331',
      traceFlags: 1,
      isRemote: true,
    };
    const extracted = trace.setSpanContext(ROOT_CONTEXT, remote);
    let later;
    tracer.startActiveSpan('GET', {}, extracted, (root) => {
      const child = tracer.startSpan('child');
      later = context.with(trace.setSpan(context.active(), child), async () => {
        await sleep(1);
        assert.deepEqual(getLabels(), {
          ...rootLabels(root, 'GET /cart/:id'),
          trace_id: remote.traceId,
        });
        child.end();
      });
      root.updateName('GET /cart/:id');
      root.end();
    });
    await later;
  });

  it('has the name that a span got while tracing was suppressed', () => {
    const { tracer, context } = start();
    tracer.startActiveSpan('GET', (root) => {
      context.with(sdk.suppressTracing(context.active()), () => {
        root.updateName('GET /cart/:id');
        assert.deepEqual(getLabels(), {});
        tracer.startActiveSpan('never', (never) => {
          never.updateName('renamed');
          never.end();
          assert.deepEqual(getLabels(), {});
        });
      });
      assert.deepEqual(getLabels(), rootLabels(root, 'GET /cart/:id'));
    });
  });

  it('has the name at the start of a span whose name becomes empty or no text', () => {
    const { tracer } = start();
    for (const name of ['', undefined, 7, Symbol('name')]) {
      tracer.startActiveSpan('GET', (root) => {
        root.updateName(name);
        assert.deepEqual(getLabels(), rootLabels(root, 'GET'));
        root.end();
        assert.deepEqual(getLabels(), {});
      });
    }
  });

  it('has the last name of a span that a proxy stands for, and lets go of the span', async () => {
    const proxied = (provider) => ({
      getTracer: (...args) => {
        const tracer = provider.getTracer(...args);
        return { startSpan: (...of) => new Proxy(tracer.startSpan(...of), {}) };
      },
    });
    // The wrapper labels the proxies, and the processor the spans that they stand for.
    const wrapped = new TracerProvider(proxied(sdk.createProvider()));
    const processed = proxied(sdk.createProvider({ processors: [new PyroscopeSpanProcessor()] }));
    const { context, trace } = start();
    for (const provider of [wrapped, processed]) {
      const span = provider.getTracer('test').startSpan('GET');
      const inContext = trace.setSpan(context.active(), span);
      const details = span[LABELS].trace.root;
      assert.notEqual(details.span, undefined);
      let later;
      context.with(inContext, () => {
        assert.deepEqual(getLabels(), rootLabels(span, 'GET'));
        span.updateName('GET /cart/:id');
        assert.deepEqual(getLabels(), rootLabels(span, 'GET /cart/:id'));
        later = sleep(1).then(() => getLabels());
        span.end();
        assert.deepEqual(getLabels(), {});
      });
      assert.deepEqual(await later, rootLabels(span, 'GET /cart/:id'));
      assert.equal(details.span, undefined);
    }
  });
}
