/** Labels of a program that is traced already, with every SDK, and that nothing is left of them. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { getLabels, register, Scope } from 'otelpyroscope';
import { sdks } from '../../support/sdks.mjs';

const require = createRequire(import.meta.url);
const { labelRunningProgram } = require('../../../lib/otel/running-program.js');

for (const sdk of sdks) {
  describe(`a running program with OpenTelemetry SDK ${sdk.version}`, () => {
    const { context, trace } = sdk.api;
    let provider;
    let manager;
    let tracer;
    let undo;

    beforeEach(() => {
      sdk.reset();
      provider = sdk.createProvider();
      const [ContextManager] = Object.values(sdk.contextManagers).slice(-1);
      manager = new ContextManager().enable();
      sdk.registerProvider(provider, manager);
      tracer = trace.getTracer('early');
      tracer.startSpan('resolves the tracer').end();
    });

    afterEach(() => {
      undo?.();
      sdk.reset();
    });

    const methods = () =>
      [provider, manager, provider.getTracer('early'), provider.getTracer('late')].map((object) => [
        Reflect.ownKeys(object).map(String),
        object.with,
        object.bind,
        object.getTracer,
        object.startSpan,
      ]);
    const nameIn = (inContext) => context.with(inContext, () => getLabels().span_name);
    const inSpan = (ofTracer) =>
      ofTracer.startActiveSpan('request', (span) => {
        const { span_name } = getLabels();
        span.end();
        return span_name;
      });

    it('has labels of all its tracers, until they are undone', () => {
      const before = methods();
      undo = labelRunningProgram({});
      assert.equal(inSpan(tracer), 'request');
      assert.equal(inSpan(trace.getTracer('late')), 'request');
      undo();
      assert.equal(inSpan(tracer), undefined);
      assert.equal(inSpan(trace.getTracer('late')), undefined);
      assert.deepEqual(methods(), before);

      undo = labelRunningProgram({ spanNameScope: Scope.None });
      assert.equal(inSpan(tracer), undefined);
    });

    it('has labels of open spans whose root is known, and of spans below them', () => {
      const root = trace.setSpan(context.active(), tracer.startSpan('root'));
      const child = trace.setSpan(root, tracer.startSpan('child', {}, root));
      const below = (parent) => trace.setSpan(parent, tracer.startSpan('below', {}, parent));
      undo = labelRunningProgram({ spanNameScope: Scope.RootSpan });
      assert.equal(nameIn(below(root)), 'root', 'also before the root itself is active');
      assert.equal(nameIn(root), 'root');
      assert.equal(nameIn(child), undefined);
      assert.equal(nameIn(below(child)), undefined);
      assert.equal(nameIn(below(below(child))), undefined);
      trace.getSpan(root).end();
      assert.deepEqual(getLabels(), {});
    });

    it('that labels its spans itself goes on doing so', () => {
      const undoOwn = register({ spanNameScope: Scope.None });
      const before = methods();
      undo = labelRunningProgram({});
      assert.deepEqual(methods(), before);
      assert.equal(inSpan(tracer), undefined);
      undoOwn();
    });

    it('keeps the methods of a tool that has replaced ours meanwhile', () => {
      undo = labelRunningProgram({});
      const ours = manager.with;
      manager.with = function (...args) {
        return ours.apply(this, args);
      };
      const theirs = manager.with;
      undo();
      assert.equal(manager.with, theirs);
      assert.equal(inSpan(tracer), undefined);
      undo = labelRunningProgram({});
      assert.equal(inSpan(tracer), 'request');
    });
  });
}

describe('a running program without an SDK', () => {
  it('has no labels', () => {
    assert.equal(labelRunningProgram({}), undefined);
  });
});
