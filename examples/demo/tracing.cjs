/** OpenTelemetry of the demo's service: load it before anything that is to be traced. */

'use strict';

const { registerInstrumentations } = require('@opentelemetry/instrumentation');
const { ExpressInstrumentation } = require('@opentelemetry/instrumentation-express');
const { HttpInstrumentation } = require('@opentelemetry/instrumentation-http');
const { BatchSpanProcessor } = require('@opentelemetry/sdk-trace-base');
const { NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');
const { Scope, TracerProvider } = require('otelpyroscope');
const { SpanLog } = require('./span-log.cjs');

const spanLog = new SpanLog({ maxSpans: 500_000 });

const sdkProvider = new NodeTracerProvider({
  // The default queue of 2,048 spans would drop some of this load; the demo checks every id.
  spanProcessors: [new BatchSpanProcessor(spanLog, { maxQueueSize: 65_536 })],
});

// The one line that a service adds. With both scopes at AllSpans a sample names the innermost
// span; the default, RootSpan, would name the request's span on all of its samples.
const provider = new TracerProvider(sdkProvider, {
  spanIdScope: Scope.AllSpans,
  spanNameScope: Scope.AllSpans,
});
provider.register();

registerInstrumentations({
  tracerProvider: provider,
  instrumentations: [new HttpInstrumentation(), new ExpressInstrumentation({ spanNameHook })],
});

/** The instrumentation calls every route's span "request handler" on Express 5. */
function spanNameHook({ layerType, route }, name) {
  return layerType === 'request_handler' ? `handler of ${route}` : name;
}

module.exports = { provider, spanLog };
