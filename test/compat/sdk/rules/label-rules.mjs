/** The rules by which spans label the code under them, on the spans of a real SDK. */
import assert from 'node:assert/strict';
import { getLabels, Scope, TracerProvider, withLabels } from 'otelpyroscope';
import {
  byName,
  idOf,
  rootLabels,
  sleep,
  startTracing,
  traceOf,
  waysIn,
  waysOf,
} from '../../../support/labels.mjs';

const PROFILE_ID = 'pyroscope.profile.id';

/** Registers the cases for one SDK and one of its context managers. */
export function labelRules(sdk, contextManager) {
  const start = (config = {}) => startTracing(sdk, { contextManager, ...config });
  const enter = (program, way, name, fn, options = {}) => waysIn[way](program, name, options, fn);

  afterEach(() => {
    assert.deepEqual(getLabels(), {}, 'labels outside of any span');
    sdk.reset();
  });

  const hasAttach = typeof contextManager.prototype.attach === 'function';
  const ways = Object.keys(waysIn).filter(
    (way) => !way.endsWith('attach') || (hasAttach && 'attach' in sdk.api.context),
  );

  for (const way of ways) {
    describe(`entered by ${way}`, () => {
      it('labels the root, its children and what they await with the root', async () => {
        const program = start();
        assert.ok(waysOf(program).some(([name]) => name === way));
        let inCallback;
        await enter(program, way, 'root', (root) => {
          const expected = rootLabels(root, 'root');
          assert.match(expected.trace_id, /^[0-9a-f]{32}$/);
          assert.match(expected.span_id, /^[0-9a-f]{16}$/);
          assert.deepEqual(getLabels(), expected);
          const work = async () => {
            await sleep(1);
            assert.deepEqual(getLabels(), expected);
            await enter(program, way, 'child', async (child) => {
              assert.deepEqual(getLabels(), expected);
              await null;
              assert.deepEqual(getLabels(), expected);
              child.end();
              assert.deepEqual(getLabels(), expected);
            });
            assert.deepEqual(getLabels(), expected);
            inCallback = expected;
          };
          return work();
        });
        assert.ok(inCallback);
        assert.deepEqual(getLabels(), {});
      });

      for (const spanIdScope of [Scope.None, Scope.RootSpan, Scope.AllSpans]) {
        for (const spanNameScope of [Scope.None, Scope.RootSpan, Scope.AllSpans]) {
          it(`span_id of ${Scope[spanIdScope]}, span_name of ${Scope[spanNameScope]}`, async () => {
            const program = start({ options: { spanIdScope, spanNameScope } });
            const pick = (scope, root, own) =>
              scope === Scope.None ? undefined : scope === Scope.RootSpan ? root : own;
            const expected = (root, span, name) =>
              Object.fromEntries(
                Object.entries({
                  trace_id: traceOf(root),
                  span_id: pick(spanIdScope, idOf(root), idOf(span)),
                  span_name: pick(spanNameScope, 'root', name),
                }).filter(([, value]) => value !== undefined),
              );
            const ids = enter(program, way, 'root', (root) => {
              assert.deepEqual(getLabels(), expected(root, root, 'root'));
              const child = enter(program, way, 'child', (span) => {
                assert.deepEqual(getLabels(), expected(root, span, 'child'));
                const grandchild = enter(program, way, 'grandchild', (inner) => {
                  assert.deepEqual(getLabels(), expected(root, inner, 'grandchild'));
                  inner.end();
                  assert.deepEqual(getLabels(), expected(root, span, 'child'));
                  return inner;
                });
                assert.deepEqual(getLabels(), expected(root, span, 'child'));
                span.end();
                assert.deepEqual(getLabels(), expected(root, root, 'root'));
                return { child: idOf(span), grandchild: idOf(grandchild) };
              });
              assert.deepEqual(getLabels(), expected(root, root, 'root'));
              root.end();
              assert.deepEqual(getLabels(), {});
              return { root: idOf(root), ...child };
            });
            const spans = await program.spans();
            const profileIds = Object.fromEntries(
              Object.entries(spans).map(([name, span]) => [name, span.attributes[PROFILE_ID]]),
            );
            const root = pick(spanIdScope, ids.root, ids.root);
            const child = spanIdScope === Scope.AllSpans ? ids.child : undefined;
            const grandchild = spanIdScope === Scope.AllSpans ? ids.grandchild : undefined;
            assert.deepEqual(profileIds, { root, child, grandchild });
          });
        }
      }

      it('makes a local root of a span with a remote parent, in the remote trace', async () => {
        const program = start();
        const { context, trace } = program;
        const remote = {
          traceId: '0af7651916cd43dd8448eb211c80319c',
          spanId: 'b7ad6b7169203331',
          traceFlags: 1,
          isRemote: true,
        };
        const extracted = trace.setSpanContext(context.active(), remote);
        const id = context.with(extracted, () => {
          assert.deepEqual(getLabels(), {});
          return enter(program, way, 'server', (span) => {
            assert.deepEqual(getLabels(), {
              trace_id: remote.traceId,
              span_id: idOf(span),
              span_name: 'server',
            });
            span.end();
            return idOf(span);
          });
        });
        assert.equal((await program.spans()).server.attributes[PROFILE_ID], id);
      });

      it('clears the labels of another trace for a remote parent and for root: true', () => {
        const program = start({ options: { spanIdScope: Scope.AllSpans } });
        const { context, trace } = program;
        enter(program, way, 'outer', (outer) => {
          const remote = {
            traceId: 'f'.repeat(32),
            spanId: 'e'.repeat(16),
            traceFlags: 0,
            isRemote: true,
          };
          context.with(trace.setSpanContext(context.active(), remote), () => {
            assert.deepEqual(getLabels(), {});
            enter(program, way, 'remote child', (span) => {
              // Its parent is not sampled, and so it is not either: a name and no ids.
              assert.equal(traceOf(span), remote.traceId);
              assert.deepEqual(getLabels(), { span_name: 'remote child' });
            });
          });
          enter(
            program,
            way,
            'own root',
            (span) => {
              assert.notEqual(traceOf(span), traceOf(outer));
              assert.deepEqual(getLabels(), rootLabels(span, 'own root'));
              span.end();
              assert.deepEqual(getLabels(), {});
            },
            { root: true },
          );
          assert.deepEqual(getLabels(), rootLabels(outer, 'outer'));
        });
      });

      it('names unsampled spans and gives them no ids', () => {
        const program = start({ sampler: new sdk.AlwaysOffSampler() });
        enter(program, way, 'root', (root) => {
          assert.equal(root.isRecording(), false);
          assert.deepEqual(getLabels(), { span_name: 'root' });
          enter(program, way, 'child', (child) => {
            assert.deepEqual(getLabels(), { span_name: 'root' });
            child.end();
          });
          root.end();
          assert.deepEqual(getLabels(), {});
        });
      });

      it('gives spans that are recorded but not sampled no ids either', () => {
        const program = start({ sampler: byName });
        enter(program, way, 'record root', (root) => {
          assert.equal(root.isRecording(), true);
          assert.deepEqual(getLabels(), { span_name: 'record root' });
        });
      });

      it('takes ids from the first sampled descendant of an unsampled root', async () => {
        const program = start({ sampler: byName });
        const ids = enter(program, way, 'off root', () =>
          enter(program, way, 'sampled', (span) => {
            const expected = {
              trace_id: traceOf(span),
              span_id: idOf(span),
              span_name: 'off root',
            };
            assert.deepEqual(getLabels(), expected);
            enter(program, way, 'below', (below) => {
              assert.deepEqual(getLabels(), expected);
              below.end();
            });
            span.end();
            assert.deepEqual(getLabels(), { span_name: 'off root' });
            return idOf(span);
          }),
        );
        const spans = await program.spans();
        assert.equal(spans.sampled.attributes[PROFILE_ID], ids);
        assert.equal(spans.below.attributes[PROFILE_ID], undefined);
      });

      it('merges the labels of an unsampled child over those of its sampled parent', () => {
        const options = { spanIdScope: Scope.AllSpans, spanNameScope: Scope.AllSpans };
        const program = start({ sampler: byName, options });
        enter(program, way, 'root', (root) =>
          enter(program, way, 'off child', () => {
            assert.deepEqual(getLabels(), rootLabels(root, 'off child'));
          }),
        );
      });

      it('strips labels while tracing is suppressed', async () => {
        const program = start();
        const { context } = program;
        await enter(program, way, 'root', async (root) => {
          await context.with(sdk.suppressTracing(context.active()), async () => {
            assert.deepEqual(getLabels(), {});
            await sleep(1);
            assert.deepEqual(getLabels(), {});
            enter(program, way, 'never', () => assert.deepEqual(getLabels(), {}));
            const again = sdk.unsuppressTracing(context.active());
            context.with(again, () => assert.deepEqual(getLabels(), rootLabels(root, 'root')));
          });
          assert.deepEqual(getLabels(), rootLabels(root, 'root'));
        });
      });
    });
  }

  it('sets no trace_id with traceIdLabel: false', () => {
    const program = start({ options: { traceIdLabel: false } });
    program.tracer.startActiveSpan('root', (root) => {
      assert.deepEqual(getLabels(), { span_id: idOf(root), span_name: 'root' });
    });
  });

  it("sets labels of the local root's attributes, as they are when the labels are read", async () => {
    const attributeLabels = ['http.route', 'tenant.id', 'retries', 'cached', 'tags', 'empty'];
    const { tracer } = start({ options: { attributeLabels } });
    let later;
    await tracer.startActiveSpan('GET', async (root) => {
      root.setAttribute('tenant.id', 'blue');
      root.setAttribute('tags', ['a', 'b']);
      root.setAttribute('empty', '');
      assert.deepEqual(getLabels(), { ...rootLabels(root, 'GET'), 'tenant.id': 'blue' });
      tracer.startActiveSpan('child', (child) => {
        child.setAttribute('tenant.id', 'red');
        root.setAttribute('retries', 3);
        root.setAttribute('cached', false);
        assert.deepEqual(getLabels(), {
          ...rootLabels(root, 'GET'),
          'tenant.id': 'blue',
          retries: '3',
          cached: 'false',
        });
        child.end();
      });
      withLabels({ 'tenant.id': 'mine' }, () => assert.equal(getLabels()['tenant.id'], 'mine'));
      later = sleep(2).then(() => getLabels()['http.route']);
      root.setAttribute('http.route', '/cart/:id');
      root.end();
      root.setAttribute('http.route', 'too late');
    });
    assert.equal(await later, '/cart/:id');
  });

  it("sets no span_name for a span without a name, and inherits the parent's", () => {
    const program = start({ options: { spanNameScope: Scope.AllSpans } });
    const { tracer } = program;
    tracer.startActiveSpan('', (span) => {
      assert.deepEqual(getLabels(), { trace_id: traceOf(span), span_id: idOf(span) });
      tracer.startActiveSpan('named', () => {
        assert.equal(getLabels().span_name, 'named');
        tracer.startActiveSpan('', () => assert.equal(getLabels().span_name, 'named'));
      });
    });
  });

  it('cuts a long name at 2,048 bytes, between characters', () => {
    const program = start();
    program.tracer.startActiveSpan(`x${'€'.repeat(1000)}`, () => {
      assert.equal(getLabels().span_name, `x${'€'.repeat(682)}`);
    });
  });

  it('lets a span to which no label applies inherit, and makes it no root', async () => {
    const program = start({ sampler: byName, options: { spanNameScope: Scope.None } });
    const { tracer } = program;
    tracer.startActiveSpan('off root', () => {
      assert.deepEqual(getLabels(), {});
      tracer.startActiveSpan('first', (first) => {
        const expected = { trace_id: traceOf(first), span_id: idOf(first) };
        assert.deepEqual(getLabels(), expected);
        tracer.startActiveSpan('off child', (child) => {
          assert.deepEqual(getLabels(), expected);
          tracer.startActiveSpan('last', (last) => {
            assert.deepEqual(getLabels(), expected);
            last.end();
          });
          child.end();
          assert.deepEqual(getLabels(), expected);
        });
        first.end();
      });
    });
    const spans = await program.spans();
    assert.equal(spans.first.attributes[PROFILE_ID], idOf(spans.first));
    assert.equal(spans.last.attributes[PROFILE_ID], undefined);
  });

  it("gives a child started from the context of an ended root the root's labels", () => {
    const program = start();
    const { tracer, context, trace, ROOT_CONTEXT } = program;
    const root = tracer.startSpan('root');
    const inRoot = trace.setSpan(ROOT_CONTEXT, root);
    root.end();
    tracer.startActiveSpan('late', {}, inRoot, (late) => {
      assert.deepEqual(getLabels(), rootLabels(root, 'root'));
      late.end();
      assert.deepEqual(getLabels(), rootLabels(root, 'root'));
    });
    context.with(inRoot, () => assert.deepEqual(getLabels(), rootLabels(root, 'root')));
  });

  for (const options of [
    {},
    { spanIdScope: Scope.AllSpans, spanNameScope: Scope.AllSpans },
    { spanIdScope: Scope.None, spanNameScope: Scope.None },
    { traceIdLabel: false, attributeLabels: ['tier'] },
  ]) {
    it(`gives the context of an ended root the labels from before: ${JSON.stringify(options)}`, () => {
      const { tracer, context, trace, ROOT_CONTEXT } = start({ options });
      const startRoot = (name) => tracer.startSpan(name, { attributes: { tier: 'a' } });
      const roots = {
        plain: startRoot('root'),
        renamed: startRoot('GET'),
        unnamed: startRoot(''),
        long: startRoot('x'.repeat(3_000)),
        labelled: withLabels({ own: 'yes' }, () => startRoot('root')),
        closed: Object.preventExtensions(startRoot('root')),
      };
      roots.renamed.updateName('GET /cart/:id');
      roots.unnamed.updateName('named later');
      for (const [what, root] of Object.entries(roots)) {
        // A new context each time: one that was active carries its label id.
        const labels = () => context.with(trace.setSpan(ROOT_CONTEXT, root), getLabels);
        const before = labels();
        context.with(trace.setSpan(ROOT_CONTEXT, root), () => {
          root.end();
          assert.deepEqual(getLabels(), what === 'labelled' ? { own: 'yes' } : {});
        });
        assert.deepEqual(labels(), before, what);
        root.end();
        assert.deepEqual(labels(), before, what);
      }
    });
  }

  it("restores the parent's labels at end() in the calling async context, and in no other", async () => {
    const program = start({ options: { spanIdScope: Scope.AllSpans } });
    const { tracer, context } = program;
    await tracer.startActiveSpan('root', async (root) => {
      let finished;
      const ended = new Promise((resolve) => (finished = resolve));
      let other;
      await tracer.startActiveSpan('child', async (child) => {
        const ofChild = { ...rootLabels(root, 'root'), span_id: idOf(child) };
        other = (async () => {
          await ended;
          assert.deepEqual(getLabels(), ofChild);
        })();
        await sleep(1);
        assert.deepEqual(getLabels(), ofChild);
        child.end();
        finished();
        assert.deepEqual(getLabels(), rootLabels(root, 'root'));
        await null;
        assert.deepEqual(getLabels(), rootLabels(root, 'root'));
        child.end();
        assert.deepEqual(getLabels(), rootLabels(root, 'root'));
        // The ended span is still in the context: to enter that again is to ask for its labels.
        context.with(context.active(), () => assert.deepEqual(getLabels(), ofChild));
      });
      await other;
      root.end();
      assert.deepEqual(getLabels(), {});
    });
  });

  it('changes no labels in this async context when a span ends that is not active in it', () => {
    const program = start();
    const { tracer, context, trace, ROOT_CONTEXT } = program;
    const other = tracer.startSpan('other', {}, ROOT_CONTEXT);
    tracer.startActiveSpan('root', (root) => {
      other.end();
      assert.deepEqual(getLabels(), rootLabels(root, 'root'));
      context.with(trace.setSpan(ROOT_CONTEXT, other), () => {
        root.end();
        assert.deepEqual(getLabels(), rootLabels(other, 'other'));
      });
    });
  });

  it('clears the labels for a remote span of the same trace, and makes its child a local root', () => {
    const program = start({ options: { spanNameScope: Scope.AllSpans } });
    const { tracer, context, trace } = program;
    tracer.startActiveSpan('client', (client) => {
      // A request that came back to this process: its own root here, as in any other process.
      const remote = { ...client.spanContext(), isRemote: true };
      context.with(trace.setSpanContext(context.active(), remote), () => {
        assert.deepEqual(getLabels(), {});
        tracer.startActiveSpan('server', (server) => {
          assert.equal(traceOf(server), traceOf(client));
          assert.deepEqual(getLabels(), rootLabels(server, 'server'));
        });
      });
      // The same without isRemote is this span by another object.
      context.with(trace.setSpanContext(context.active(), client.spanContext()), () => {
        assert.deepEqual(getLabels(), rootLabels(client, 'client'));
      });
    });
  });

  it('keeps no parent of a span that has ended, and a bounded number of others', () => {
    const program = start({ options: { spanIdScope: Scope.AllSpans } });
    const { tracer, trace, ROOT_CONTEXT } = program;
    const setOf = (span) => span[Symbol.for('otelpyroscope.span-labels.v7')];
    const root = tracer.startSpan('root', {}, ROOT_CONTEXT);
    const child = tracer.startSpan('child', {}, trace.setSpan(ROOT_CONTEXT, root));
    assert.equal(setOf(child).parent, setOf(root));
    child.end();
    assert.equal(setOf(child).parent, undefined);
    let span = root;
    for (let i = 0; i < 3_000; i++) {
      span = tracer.startSpan(`child ${i}`, {}, trace.setSpan(ROOT_CONTEXT, span));
    }
    let parents = 0;
    for (let set = setOf(span); set.parent !== undefined; set = set.parent) parents++;
    assert.ok(parents > 0 && parents <= 1_024, `${parents} parents`);
  });

  it('does not make labels current by startSpan alone', () => {
    const { tracer } = start();
    tracer.startSpan('never active').end();
    assert.deepEqual(getLabels(), {});
  });

  it('has no labels of spans in a context without a span', () => {
    const { tracer, context, ROOT_CONTEXT } = start();
    tracer.startActiveSpan('root', (root) => {
      context.with(ROOT_CONTEXT, () => assert.deepEqual(getLabels(), {}));
      assert.deepEqual(getLabels(), rootLabels(root, 'root'));
    });
  });

  it('keeps concurrent traces apart', async () => {
    const { tracer } = start();
    await Promise.all(
      Array.from({ length: 32 }, (_, i) =>
        tracer.startActiveSpan(`task ${i}`, async (root) => {
          for (let step = 0; step < 5; step++) {
            await (step % 2 ? sleep(i % 3) : new Promise(setImmediate));
            assert.deepEqual(getLabels(), rootLabels(root, `task ${i}`));
          }
          root.end();
        }),
      ),
    );
  });

  describe('with several providers', () => {
    it('refers to the root of the wrapped provider that started it', async () => {
      const program = start({ options: { spanIdScope: Scope.AllSpans } });
      const other = new TracerProvider(sdk.createProvider(), {
        spanNameScope: Scope.AllSpans,
      }).getTracer('other');
      const nothing = new TracerProvider(sdk.createProvider(), {
        spanIdScope: Scope.None,
        spanNameScope: Scope.None,
        traceIdLabel: false,
      }).getTracer('nothing');
      program.tracer.startActiveSpan('root', (root) => {
        program.tracer.startActiveSpan('own', (own) => {
          assert.equal(getLabels().span_id, idOf(own));
          other.startActiveSpan('other', () => {
            assert.deepEqual(getLabels(), rootLabels(root, 'other'));
            nothing.startActiveSpan('nothing', () => {
              assert.deepEqual(getLabels(), rootLabels(root, 'other'));
            });
          });
        });
      });
      nothing.startActiveSpan('nothing', () => {
        assert.deepEqual(getLabels(), {});
        other.startActiveSpan('first', (first) => {
          assert.deepEqual(getLabels(), rootLabels(first, 'first'));
        });
      });
    });

    it('inherits labels in spans of an unwrapped provider, in the same trace', async () => {
      const { tracer, context, trace, ROOT_CONTEXT } = start();
      const plain = sdk.createProvider().getTracer('plain');
      await tracer.startActiveSpan('root', async (root) => {
        await plain.startActiveSpan('plain', async (span) => {
          assert.equal(traceOf(span), traceOf(root));
          assert.deepEqual(getLabels(), rootLabels(root, 'root'));
          await sleep(1);
          tracer.startActiveSpan('below', () => {
            assert.deepEqual(getLabels(), rootLabels(root, 'root'));
          });
          span.end();
          assert.deepEqual(getLabels(), rootLabels(root, 'root'));
          // A span that was met once has these labels in every async context.
          context.with(ROOT_CONTEXT, () => {
            context.with(trace.setSpan(ROOT_CONTEXT, span), () => {
              assert.deepEqual(getLabels(), rootLabels(root, 'root'));
            });
          });
        });
      });
    });

    it('clears the labels in spans of an unwrapped provider, in another trace', () => {
      const { tracer } = start();
      const plain = sdk.createProvider().getTracer('plain');
      tracer.startActiveSpan('root', (root) => {
        plain.startActiveSpan('plain', { root: true }, (span) => {
          assert.deepEqual(getLabels(), {});
          tracer.startActiveSpan('below', (below) => {
            assert.equal(traceOf(below), traceOf(span));
            assert.deepEqual(getLabels(), rootLabels(below, 'below'));
          });
        });
        assert.deepEqual(getLabels(), rootLabels(root, 'root'));
      });
    });

    it('does not change the labels of a span that a second wrapper wraps', async () => {
      const inner = sdk.createProvider();
      const once = new TracerProvider(inner, { spanNameScope: Scope.AllSpans });
      const program = start();
      const tracer = new TracerProvider(once, { spanNameScope: Scope.None }).getTracer('twice');
      program.tracer.startActiveSpan('root', (root) => {
        tracer.startActiveSpan('child', (child) => {
          assert.deepEqual(getLabels(), rootLabels(root, 'child'));
          child.end();
          assert.deepEqual(getLabels(), rootLabels(root, 'root'));
        });
      });
    });
  });
}
