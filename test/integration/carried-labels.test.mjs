/**
 * Labels of contexts of every kind in real samples: those that carry the label id, where the sampler
 * reads it, and those that cannot, whose id is stored.
 */
import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { createRequire } from 'node:module';
import { context, ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { CpuProfiler, Scope, TracerProvider, withLabels } from 'otelpyroscope';
import { BURNER_PREFIX, createBurners } from '../support/burners.mjs';
import { sleep } from '../support/labels.mjs';
import { readProfile } from '../support/read-profile.mjs';
import { threadNanos } from '../support/thread-cpu.mjs';

const require = createRequire(import.meta.url);
const { BasicTracerProvider } = require('@opentelemetry/sdk-trace-node');
const { activeLabels } = require('../../lib/labels/active-labels.js');
const { LABEL_TABLE_SIZE } = require('../../lib/labels/label-table.js');

const MILLISECONDS = 40;
const SPAN_KEY = Symbol.for('OpenTelemetry Context Key SPAN');
/** Hidden classes of contexts: more than tools ever use. */
const CLASSES = 12;
/** So many that V8 keeps an object's properties in a hash table. */
const MANY = 2_000;

const NAMES = [
  ...['one', 'two', 'user', 'both', 'child', 'parent', 'first', 'late', 'none'],
  ...['server', 'begun', 'other'],
];
const classes = Array.from({ length: CLASSES }, (_, i) => `class_${i}`);
const burners = createBurners([...NAMES, ...classes]);

/** Uses so much CPU of this thread in the function `burn_<name>`, whatever else runs. */
function burn(name, millis = MILLISECONDS) {
  const end = threadNanos() + millis * 1e6;
  while (threadNanos() < end) burners.get(name)(500);
}

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

/** Returns how many label ids are stored in async contexts until `fn` has returned, or resolved. */
async function countStores(fn) {
  const { enterWith } = AsyncLocalStorage.prototype;
  let count = 0;
  AsyncLocalStorage.prototype.enterWith = function (store) {
    if (typeof store === 'number') count++;
    return enterWith.call(this, store);
  };
  try {
    await fn();
  } finally {
    AsyncLocalStorage.prototype.enterWith = enterWith;
  }
  return count;
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

  /**
   * Profiles `work`, and asserts the labels of the samples of each burner: its span's name and the
   * label `own`, or '' for none.
   */
  async function assertLabels(expected, work) {
    const profiler = new CpuProfiler({ intervalMicros: 1_000, clock: 'precise' });
    profiler.start();
    await work();
    const { samples } = readProfile(await profiler.stop());
    const found = Object.fromEntries(Object.keys(expected).map((name) => [name, {}]));
    for (const { stack, labels, count } of samples) {
      const burner = stack.find(({ name }) => name.startsWith(BURNER_PREFIX))?.name;
      if (burner === undefined) continue;
      const counts = (found[burner.slice(BURNER_PREFIX.length)] ??= {});
      const key = [labels.span_name, labels.own].filter(Boolean).join(' ');
      counts[key] = (counts[key] ?? 0) + count;
    }
    const labelled = Object.entries(found).map(([name, counts]) => [name, Object.keys(counts)]);
    assert.deepEqual(
      Object.fromEntries(labelled),
      Object.fromEntries(Object.entries(expected).map(([name, label]) => [name, [label]])),
      JSON.stringify(found),
    );
  }

  for (const [kind, make] of Object.entries(kinds)) {
    it(`${kind}: are in its samples, after an await as well`, async () => {
      const [one, two] = [make(start('one')), make(start('two'))];
      await assertLabels({ one: 'one', two: 'two', none: '' }, () =>
        context.with(one, async () => {
          burn('one');
          await context.with(two, async () => {
            burn('two');
            await sleep(1);
            burn('two');
            context.with(ROOT_CONTEXT, () => burn('none'));
          });
          burn('one');
        }),
      );
    });
  }

  it('of many classes: are in the samples of all', async () => {
    const contexts = classes.map((name, i) => {
      class Custom {}
      return [name, contextOf(start(name), Object.assign(new Custom(), { [`own${i}`]: i }))];
    });
    await assertLabels(Object.fromEntries(classes.map((name) => [name, name])), () =>
      contexts.forEach(([name, given]) => context.with(given, () => burn(name))),
    );
  });

  it('are its own inside and outside of labels of the user, which are merged over them', async () => {
    const [one, two] = ['one', 'two'].map((name) => trace.setSpan(ROOT_CONTEXT, start(name)));
    const expected = { one: 'one', user: 'one yes', both: 'two yes', two: 'two' };
    await assertLabels(expected, () =>
      context.with(one, () => {
        burn('one');
        withLabels({ own: 'yes' }, () => {
          burn('user');
          context.with(two, () => burn('both'));
          burn('user');
        });
        context.with(two, () => burn('two'));
        burn('one');
      }),
    );
  });

  it("are its parent's after the end of its span, and its own again in a new activation", async () => {
    const parent = trace.setSpan(ROOT_CONTEXT, start('parent'));
    const span = tracer.startSpan('child', {}, parent);
    const child = trace.setSpan(parent, span);
    await assertLabels({ child: 'child', parent: 'parent' }, () =>
      context.with(parent, async () => {
        await context.with(child, async () => {
          burn('child');
          const elsewhere = sleep(5).then(() => burn('child'));
          span.end();
          burn('parent');
          await elsewhere;
          burn('parent');
        });
        burn('parent');
        context.with(child, () => burn('child'));
        burn('parent');
      }),
    );
  });

  describe('whose server span ends in a bound listener', () => {
    const server = (name) => {
      const span = tracer.startSpan(name, { kind: SpanKind.SERVER }, ROOT_CONTEXT);
      return { span, given: trace.setSpan(ROOT_CONTEXT, span) };
    };

    it('are none in the rest of the call, and its own in other activations', async () => {
      const { span, given } = server('server');
      const other = server('other');
      const run = async () => {
        let elsewhere;
        const listener = context.bind(given, () => {
          burn('server');
          elsewhere = sleep(5).then(() => burn('server'));
          span.end();
          burn('none');
          context.with(given, () => burn('server'));
          burn('none');
          context.with(other.given, () => burn('other'));
          withLabels({}, () => burn('none'));
          burn('none');
        });
        listener();
        burn('none');
        context.with(given, () => burn('server'));
        await elsewhere;
        burn('none');
      };
      await assertLabels({ server: 'server', none: '', other: 'other' }, async () => {
        assert.equal(await countStores(run), 0);
      });
    });

    it('are none, or its own, in what the rest of the call begins, and never those of another', async () => {
      const { span, given } = server('server');
      const other = server('other');
      await assertLabels({ begun: 'server', other: 'other' }, async () => {
        let later;
        context.with(given, () => {
          span.end();
          later = sleep(5).then(() => burn('begun'));
        });
        await context.with(other.given, async () => {
          burn('other');
          await later;
          burn('other');
        });
      });
    });

    it('are as before where the listener throws, and where listeners are nested', async () => {
      const one = server('one');
      const two = server('two');
      await assertLabels({ one: 'one', two: 'two', none: '' }, () => {
        assert.throws(() =>
          context.with(one.given, () => {
            one.span.end();
            throw new Error('of the listener');
          }),
        );
        burn('none');
        context.with(one.given, () => {
          burn('one');
          context.with(two.given, () => {
            burn('two');
            two.span.end();
            burn('none');
            context.with(one.given, () => burn('one'));
            burn('none');
          });
          burn('one');
        });
        burn('none');
      });
      assert.deepEqual([activeLabels.ended, activeLabels.innermost], [0, 0]);
    });
  });

  it('are never those of a set that took the index of its own', async () => {
    const given = trace.setSpan(ROOT_CONTEXT, start('first'));
    await context.with(given, async () => {
      for (let i = 0; i < LABEL_TABLE_SIZE + 1; i++) {
        const span = start('newer');
        context.with(trace.setSpan(ROOT_CONTEXT, span), () => 0);
        span.end();
      }
      await assertLabels({ late: '', first: 'first' }, () => {
        burn('late');
        context.with(given, () => burn('first'));
      });
    });
  });

  it('are none once the context manager is disabled', async () => {
    const given = trace.setSpan(ROOT_CONTEXT, start('one'));
    await assertLabels({ one: 'one', none: '' }, async () => {
      let later;
      context.with(given, () => {
        burn('one');
        later = sleep(5).then(() => burn('none'));
        context.disable();
        burn('none');
      });
      await later;
    });
  });

  it('are carried, and not stored', async () => {
    const given = trace.setSpan(ROOT_CONTEXT, start('one'));
    assert.equal(await countStores(() => context.with(given, () => 0)), 0);
    assert.equal(activeLabels.areCarried, true);
    assert.equal(await countStores(() => withLabels({ user: 'x' }, () => 0)), 2);
  });
});
