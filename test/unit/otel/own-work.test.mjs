/** The package's own work has no labels, also where the package was loaded within a span. */
import assert from 'node:assert/strict';
import { messageOf, runCode } from '../../support/run-child.mjs';

describe('own work of a package that was loaded within a span', () => {
  it('begins outside of it', async () => {
    const found = await messageOf(
      runCode(`
        const { AsyncResource } = require('node:async_hooks');
        const { context, ROOT_CONTEXT, trace } = require('@opentelemetry/api');
        const { AsyncLocalStorageContextManager } = require('@opentelemetry/context-async-hooks');
        context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
        const span = trace.wrapSpanContext({ traceId: '1'.repeat(32), spanId: '2'.repeat(16) });
        const spanOf = () => trace.getSpan(context.active());
        // Looks into what asOwnWork enters, before it does anything there.
        const { runInAsyncScope } = AsyncResource.prototype;
        const entered = [];
        AsyncResource.prototype.runInAsyncScope = function (fn, ...rest) {
          return runInAsyncScope.call(this, (...args) => {
            entered.push(spanOf() === undefined);
            return fn(...args);
          }, ...rest);
        };
        context.with(trace.setSpan(ROOT_CONTEXT, span), () => {
          const { asOwnWork } = require('./lib/otel/run-untraced.js');
          asOwnWork(() => 0);
          process.send({ entered, isActive: spanOf() === span });
        });
        process.disconnect();`),
    );
    assert.deepEqual(found, { entered: [true], isActive: true });
  });
});
