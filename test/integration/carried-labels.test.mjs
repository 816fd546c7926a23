/**
 * Labels of contexts of every kind in real samples: those that carry the label id, where the sampler
 * reads it, and those that cannot, whose id is stored.
 */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { context, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { CpuProfiler, Scope, TracerProvider, withLabels } from 'otelpyroscope';
import { burn } from '../support/burn.mjs';
import { sleep } from '../support/labels.mjs';
import { readProfile } from '../support/read-profile.mjs';

const require = createRequire(import.meta.url);
const { BasicTracerProvider } = require('@opentelemetry/sdk-trace-node');
const { activeLabels } = require('../../lib/labels/active-labels.js');
const { LABEL_TABLE_SIZE } = require('../../lib/labels/label-table.js');
const { storagesUseHooks } = require('../../lib/labels/probes.js');

const MILLISECONDS = 60;
const SPAN_KEY = Symbol.for('OpenTelemetry Context Key SPAN');
/** More than `CarriedLabel::kMaxShapes` in native/handler/carried_label.h. */
const CLASSES = 12;
/** So many that V8 keeps an object's properties in a hash table. */
const MANY = 2_000;

/** Loads another copy of the api, whose contexts are of another class. */
function contextOfOtherApi(span) {
  const file = require.resolve('@opentelemetry/api');
  const loaded = Object.entries(require.cache).filter(([path]) => path.includes('@opentelemetry'));
  for (const [path] of loaded) delete require.cache[path];
  try {
    const api = require(file);
    assert.notEqual(api.ROOT_CONTEXT.constructor, ROOT_CONTEXT.constructor);
    return api.trace.setSpan(api.ROOT_CONTEXT, span);
  } finally {
    for (const [path, module] of loaded) require.cache[path] = module;
  }
}

/** A context that is no object of the api. */
const contextOf = (span, target = {}) =>
  Object.assign(target, {
    getValue: (key) => (key === SPAN_KEY ? span : undefined),
    setValue: (key, value) => contextOf(span).setValue(key, value),
  });

const kinds = {
  'of the api': (span) => trace.setSpan(ROOT_CONTEXT, span),
  'of another copy of the api': contextOfOtherApi,
  'with a property of another tool': (span) =>
    Object.assign(trace.setSpan(ROOT_CONTEXT, span), { [Symbol('tool')]: 7 }),
  'that is frozen': (span) => Object.freeze(trace.setSpan(ROOT_CONTEXT, span)),
  'that is a proxy': (span) => new Proxy(trace.setSpan(ROOT_CONTEXT, span), {}),
  'that is a plain object': (span) => contextOf(span),
  'without a prototype': (span) => contextOf(span, Object.create(null)),
  'whose class cannot be constructed': (span) =>
    contextOf(
      span,
      Object.create({
        constructor: class {
          constructor() {
            throw new Error('not to be constructed');
          }
        },
      }),
    ),
  'with very many properties': (span) => {
    const given = trace.setSpan(ROOT_CONTEXT, span);
    for (let i = 0; i < MANY; i++) given[`p${i}`] = i;
    return given;
  },
};

describe('labels of a context', function () {
  this.timeout(60_000);
  this.slow(5_000);

  // The first profile of a process has code in it that is compiled meanwhile.
  before(() => profileOf(() => burn(MILLISECONDS)));

  let tracer;
  const start = (name) => tracer.startSpan(name, {}, ROOT_CONTEXT);

  beforeEach(() => {
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
    const options = { spanNameScope: Scope.AllSpans };
    tracer = new TracerProvider(new BasicTracerProvider(), options).getTracer('test');
  });
  afterEach(() => {
    context.disable();
    activeLabels.restore(0);
  });

  /** Resolves to the milliseconds of CPU of `burn`, by span name and the label `own`. */
  async function profileOf(work) {
    const profiler = new CpuProfiler({ intervalMicros: 1_000, clock: 'precise' });
    profiler.start();
    await work();
    const { samples } = readProfile(await profiler.stop());
    const found = {};
    for (const { stack, labels, nanos } of samples) {
      if (!stack.some(({ name }) => name === 'burn')) continue;
      const key = [labels.span_name, labels.own].filter(Boolean).join(' ');
      found[key] = (found[key] ?? 0) + nanos / 1e6;
    }
    return found;
  }

  function assertShares(found, expected) {
    for (const [key, millis] of Object.entries(expected)) {
      const share = (found[key] ?? 0) / millis;
      assert.ok(share > 0.8 && share < 1.2, `${key}: ${JSON.stringify(found)}`);
    }
    const others = Object.keys(found).filter((key) => !(key in expected) && found[key] > 5);
    assert.deepEqual(others, []);
  }

  for (const [kind, make] of Object.entries(kinds)) {
    it(`${kind}: are in its samples, after an await as well`, async () => {
      const [one, two] = [make(start('one')), make(start('two'))];
      const found = await profileOf(() =>
        context.with(one, async () => {
          burn(MILLISECONDS);
          await context.with(two, async () => {
            await sleep(1);
            burn(MILLISECONDS);
          });
          burn(MILLISECONDS);
        }),
      );
      assertShares(found, { one: 2 * MILLISECONDS, two: MILLISECONDS });
    });
  }

  it('of more classes than the sampler learns: are in the samples of all', async () => {
    const contexts = Array.from({ length: CLASSES }, (_, i) => {
      class Custom {}
      return contextOf(start(`class ${i}`), Object.assign(new Custom(), { [`own${i}`]: i }));
    });
    const found = await profileOf(() =>
      contexts.forEach((given) => context.with(given, () => burn(20))),
    );
    assert.deepEqual(Object.keys(found).length, CLASSES, JSON.stringify(found));
  });

  it('are its own inside and outside of labels of the user, which are merged over them', async () => {
    const given = trace.setSpan(ROOT_CONTEXT, start('one'));
    const other = trace.setSpan(ROOT_CONTEXT, start('two'));
    const found = await profileOf(() =>
      context.with(given, () => {
        burn(MILLISECONDS);
        withLabels({ own: 'yes' }, () => {
          burn(MILLISECONDS);
          context.with(other, () => burn(MILLISECONDS));
        });
        context.with(other, () => burn(MILLISECONDS));
      }),
    );
    const each = MILLISECONDS;
    assertShares(found, { one: each, 'one yes': each, 'two yes': each, two: each });
  });

  it("are its parent's after the end of its span, and its own again in a new activation", async () => {
    const parent = trace.setSpan(ROOT_CONTEXT, start('parent'));
    const span = tracer.startSpan('child', {}, parent);
    const child = trace.setSpan(parent, span);
    const found = await profileOf(async () => {
      await context.with(parent, async () => {
        await context.with(child, async () => {
          burn(MILLISECONDS);
          const elsewhere = sleep(5).then(() => burn(MILLISECONDS));
          span.end();
          burn(MILLISECONDS);
          await elsewhere;
          burn(MILLISECONDS);
        });
        burn(MILLISECONDS);
        context.with(child, () => burn(MILLISECONDS));
      });
    });
    assertShares(found, { child: 3 * MILLISECONDS, parent: 3 * MILLISECONDS });
  });

  it('are never those of a set that took the index of its own', async () => {
    const given = trace.setSpan(ROOT_CONTEXT, start('first'));
    const found = await profileOf(() =>
      context.with(given, () => {
        for (let i = 0; i < LABEL_TABLE_SIZE + 1; i++) {
          const span = start('newer');
          context.with(trace.setSpan(ROOT_CONTEXT, span), () => 0);
          span.end();
        }
        burn(MILLISECONDS);
        context.with(given, () => burn(MILLISECONDS));
      }),
    );
    // A sample may have been taken before the index was, and keeps the set.
    const { first = 0, '': none = 0 } = found;
    assertShares({ first, all: first + none }, { first, all: 2 * MILLISECONDS });
    assert.ok(first > 0.8 * MILLISECONDS, JSON.stringify(found));
  });

  it('are carried where Node.js has AsyncContextFrame', () => {
    context.with(trace.setSpan(ROOT_CONTEXT, start('one')), () => 0);
    assert.equal(activeLabels.areCarried, !storagesUseHooks());
  });
});
