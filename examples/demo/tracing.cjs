/** OpenTelemetry of the demo's service: load it before anything that is to be traced. */

'use strict';

const { registerInstrumentations } = require('@opentelemetry/instrumentation');
const { ExpressInstrumentation } = require('@opentelemetry/instrumentation-express');
const { HttpInstrumentation } = require('@opentelemetry/instrumentation-http');
const { BatchSpanProcessor } = require('@opentelemetry/sdk-trace-base');
const { NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');
const { TracerProvider } = require('otelpyroscope');
const { SpanLog } = require('./span-log.cjs');

const spanLog = new SpanLog({ maxSpans: 500_000 });

const sdkProvider = new NodeTracerProvider({
  // The default queue of 2,048 spans would drop some of this load; the demo checks every id.
  spanProcessors: [new BatchSpanProcessor(spanLog, { maxQueueSize: 65_536 })],
});

// The one line that a service adds. A sample then has the id and the name of its request's span: the
// instrumentations below call it "GET /invoices/:id".
const provider = new TracerProvider(sdkProvider);
provider.register();

registerInstrumentations({
  tracerProvider: provider,
  instrumentations: [new HttpInstrumentation(), new ExpressInstrumentation()],
});

module.exports = { provider, spanLog };
