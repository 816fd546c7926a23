/** The memory that labels of ended spans and withLabels calls occupy, without a profiler. */
import assert from 'node:assert/strict';
import { messageOf, runCode } from '../../support/run-child.mjs';

/** Bytes of the heap that a program still uses, and the length of a label that it had. */
const keptBy = (code) =>
  messageOf(
    runCode(
      `
      const { TracerProvider, getLabels, withLabels } = require('otelpyroscope');
      const { context, trace } = require('@opentelemetry/api');
      const { AsyncLocalStorage } = require('node:async_hooks');
      const { AsyncLocalStorageContextManager } = require('@opentelemetry/context-async-hooks');
      const { BasicTracerProvider } = require('@opentelemetry/sdk-trace-base');
      context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
      const tracer = new TracerProvider(new BasicTracerProvider()).getTracer('x');
      /** A flat string of its own. */
      const text = (bytes, i) => Buffer.alloc(bytes, String(i)).toString('latin1');
      let label;
      const used = () => (gc(), gc(), process.memoryUsage().heapUsed);
      const before = used();
      ${code}
      process.send({ kept: used() - before, length: label.length });
      process.disconnect();
    `,
      { flags: ['--expose-gc'] },
    ),
  );

describe('label table', function () {
  this.timeout(60_000);

  it('keeps at most 2,048 bytes of the name of an ended span in memory', async function () {
    const { kept, length } = await keptBy(`
      for (let i = 0; i < 10_000; i++) {
        tracer.startActiveSpan(text(20_000, i), (span) => {
          label = getLabels().span_name;
          span.end();
        });
      }
    `);
    assert.equal(length, 2_048);
    // 200 MB of names; 20 MB of their beginnings.
    assert.ok(kept < 60e6, `${kept} bytes`);
  });

  it('keeps at most 2,048 bytes of a value of withLabels in memory', async function () {
    const { kept, length } = await keptBy(`
      for (let i = 0; i < 200; i++) {
        withLabels({ value: text(1_000_000, i) }, () => {
          label = getLabels().value;
        });
      }
    `);
    assert.equal(length, 2_048);
    // 200 MB of values; 0.4 MB of their beginnings.
    assert.ok(kept < 60e6, `${kept} bytes`);
  });

  it('does not keep spans that never end in memory', async function () {
    const { kept, length } = await keptBy(`
      for (let i = 0; i < 30_000; i++) {
        const span = tracer.startSpan('GET');
        span.setAttribute('db.statement', text(10_000, i));
        context.with(trace.setSpan(context.active(), span), () => {
          label = getLabels().span_name;
        });
      }
    `);
    assert.equal(length, 3);
    // 300 MB of attributes; 20 MB of those of the last 2,048 spans.
    assert.ok(kept < 60e6, `${kept} bytes`);
  });

  it('has the last name of a span that was open for long', async function () {
    const { length } = await keptBy(`
      const first = tracer.startSpan('GET');
      const early = context.with(trace.setSpan(context.active(), first), () =>
        AsyncLocalStorage.snapshot());
      first.updateName('GET /a');
      for (let i = 0; i < 5_000; i++) tracer.startSpan('other');
      const opened = early(() => getLabels().span_name);
      first.updateName('GET /a/:id');
      const dropped = early(() => getLabels().span_name);
      first.end();
      label = [opened, dropped, early(() => getLabels().span_name)].join();
    `);
    assert.equal(length, 'GET /a,GET /a,GET /a/:id'.length);
  });
});
