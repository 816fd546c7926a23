/**
 * A service with the real http instrumentation of OpenTelemetry, which reports its CPU to its parent
 * on request. Argument: the profiler; `labels`: ours, but no profile is taken.
 */

import { createRequire } from 'node:module';
import { setImmediate as turn } from 'node:timers/promises';
import { processMicros } from '../clock.mjs';
import { startProfiler } from './profilers.mjs';

// Instrumentations patch what is required after them.
const require = createRequire(import.meta.url);
const { registerInstrumentations } = require('@opentelemetry/instrumentation');
const { HttpInstrumentation } = require('@opentelemetry/instrumentation-http');
const { NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');

const mode = process.argv[2];
const inner = new NodeTracerProvider();
// Ours labels samples by the spans; for the peers, the code below sets labels.
const isOurs = mode === 'ours' || mode === 'labels';
const provider = isOurs ? new (require('otelpyroscope').TracerProvider)(inner) : inner;
provider.register();
registerInstrumentations({
  tracerProvider: provider,
  instrumentations: [new HttpInstrumentation()],
});
const http = require('node:http');
const { trace } = require('@opentelemetry/api');

const tracer = trace.getTracer('bench');
const profiler = await startProfiler(mode);

const rows = Array.from({ length: 100 }, (_, i) => ({ id: i, name: `item ${i}`, price: i * 1.5 }));

function query(span) {
  span.setAttribute('rows', rows.length);
  const found = rows.filter(({ id }) => id % 3 === 0).map((row) => ({ ...row, at: Date.now() }));
  span.end();
  return JSON.stringify(found);
}

async function handle(request, response) {
  await turn();
  const body = tracer.startActiveSpan('query', query);
  await null;
  response.setHeader('content-type', 'application/json');
  response.end(body);
}

function labelled(request, response) {
  const { traceId, spanId } = trace.getActiveSpan().spanContext();
  return profiler.run({ trace_id: traceId, span_id: spanId }, () => handle(request, response));
}

const server = http.createServer(
  mode === 'datadog' || mode === 'pyroscope'
    ? labelled
    : (request, response) => handle(request, response),
);
process.on('message', () => process.send({ micros: processMicros(), metrics: profiler.metrics() }));
process.on('disconnect', () => process.exit());
server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port }));
