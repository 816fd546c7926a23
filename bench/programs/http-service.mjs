/**
 * A service with the real instrumentations of OpenTelemetry, which reports its CPU to its parent on
 * request. Arguments: the profiler (`labels`: ours, but no profile is taken); the framework.
 */

import { createRequire } from 'node:module';
import { setImmediate as turn } from 'node:timers/promises';
import { processMicros } from '../clock.mjs';
import { loadOurs, startProfiler } from './profilers.mjs';

// Instrumentations patch what is required after them.
const require = createRequire(import.meta.url);
const { registerInstrumentations } = require('@opentelemetry/instrumentation');
const { HttpInstrumentation } = require('@opentelemetry/instrumentation-http');
const { NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');

const [mode, framework = 'http'] = process.argv.slice(2);
const inner = new NodeTracerProvider();
// Ours labels samples by the spans; for the peers, the code below sets labels.
const isOurs = mode === 'ours' || mode === 'labels';
const provider = isOurs ? new (await loadOurs()).TracerProvider(inner) : inner;
provider.register();
const instrumentations = [new HttpInstrumentation()];
if (framework === 'express') {
  const { ExpressInstrumentation } = require('@opentelemetry/instrumentation-express');
  instrumentations.push(new ExpressInstrumentation());
}
registerInstrumentations({ tracerProvider: provider, instrumentations });
const http = require('node:http');
const { trace } = require('@opentelemetry/api');

const tracer = trace.getTracer('bench');
const profiler = await startProfiler(mode);

const rows = Array.from({ length: 100 }, (_, i) => ({ id: i, name: `item ${i}`, price: i * 1.5 }));

function query(span) {
  span.setAttribute('rows', rows.length);
  // Not `{ ...row, at }`: Node.js 20 calls V8's runtime for it, which takes 30 µs a request, and in some
  // processes several more.
  const found = rows
    .filter(({ id }) => id % 3 === 0)
    .map(({ id, name, price }) => ({ id, name, price, at: Date.now() }));
  span.end();
  return JSON.stringify(found);
}

async function answer() {
  await turn();
  const body = tracer.startActiveSpan('query', query);
  await null;
  return body;
}

const setsLabels = mode === 'datadog' || mode === 'pyroscope';

/** Calls the function, for the peers under the ids of the request's span. */
function underLabels(fn) {
  if (!setsLabels) return fn();
  const { traceId, spanId } = trace.getActiveSpan().spanContext();
  return profiler.run({ trace_id: traceId, span_id: spanId }, fn);
}

async function respond(response) {
  const body = await answer();
  response.setHeader('content-type', 'application/json');
  response.end(body);
}

/** Each makes a server that listens; resolves to its port. */
const frameworks = {
  async http() {
    const server = http.createServer((request, response) => underLabels(() => respond(response)));
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    return server.address().port;
  },
  async express() {
    const app = require('express')();
    app.get('/', (request, response) => underLabels(() => respond(response)));
    const server = app.listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    return server.address().port;
  },
  async fastify() {
    const { FastifyOtelInstrumentation } = require('@fastify/otel');
    const instrumentation = new FastifyOtelInstrumentation();
    instrumentation.setTracerProvider(provider);
    const app = require('fastify')();
    await app.register(instrumentation.plugin());
    app.get('/', (request, reply) =>
      underLabels(async () => reply.type('application/json').send(await answer())),
    );
    await app.listen({ port: 0, host: '127.0.0.1' });
    return app.server.address().port;
  },
};

process.on('message', () => process.send({ micros: processMicros() }));
process.on('disconnect', () => process.exit());
process.send({ port: await frameworks[framework]() });
