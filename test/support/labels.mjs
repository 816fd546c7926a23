/** Shared by the label tests: a traced program with a wrapped provider, and ways to enter spans. */
import { TracerProvider } from 'otelpyroscope';

export const idOf = (span) => span.spanContext().spanId;
export const traceOf = (span) => span.spanContext().traceId;

/** The labels of a span with the default options. */
export const rootLabels = (span, name) => ({
  trace_id: traceOf(span),
  span_id: idOf(span),
  span_name: name,
});

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Makes an SDK's provider global, wrapped, and returns what a test needs of it.
 * `contextManager`: a class, or null for none. `processors` come before the exporter's.
 */
export function startTracing(
  sdk,
  { contextManager, options, sampler, processors, wrap = true } = {},
) {
  const exporter = sdk.createExporter();
  const inner = sdk.createProvider({ sampler, exporter, processors });
  const provider = wrap ? new TracerProvider(inner, options) : inner;
  const manager = contextManager === null ? null : new contextManager().enable();
  sdk.registerProvider(provider, manager);
  return {
    ...sdk.api,
    sdk,
    inner,
    provider,
    manager,
    tracer: sdk.api.trace.getTracer('test'),
    /** Exported spans by name. */
    spans: async () => {
      await inner.forceFlush();
      return Object.fromEntries(exporter.getFinishedSpans().map((span) => [span.name, span]));
    },
  };
}

/** The ways in which programs and instrumentations make a span active; each calls `fn(span)`. */
export const waysIn = {
  startActiveSpan: ({ tracer }, name, options, fn) => tracer.startActiveSpan(name, options, fn),
  'startActiveSpan with a context': ({ tracer, context }, name, options, fn) =>
    tracer.startActiveSpan(name, options, context.active(), fn),
  'startSpan and context.with': ({ tracer, context, trace }, name, options, fn) => {
    const span = tracer.startSpan(name, options);
    return context.with(trace.setSpan(context.active(), span), fn, undefined, span);
  },
  'startSpan and context.bind': ({ tracer, context, trace }, name, options, fn) => {
    const span = tracer.startSpan(name, options);
    return context.bind(trace.setSpan(context.active(), span), fn)(span);
  },
  'startSpan and context.attach': ({ tracer, context, trace }, name, options, fn) => {
    const span = tracer.startSpan(name, options);
    const token = context.attach(trace.setSpan(context.active(), span));
    try {
      return fn(span);
    } finally {
      token.dispose();
    }
  },
};

/** The ways in that this program's api and context manager have. */
export function waysOf({ context, manager }) {
  return Object.entries(waysIn).filter(
    ([name]) =>
      !name.endsWith('attach') ||
      (typeof context.attach === 'function' && typeof manager.attach === 'function'),
  );
}

/** Samplers that decide by the span's name: `off…` is dropped, `record…` is recorded only. */
export const byName = {
  shouldSample: (_context, _traceId, name) => ({
    decision: name.startsWith('off') ? 0 : name.startsWith('record') ? 1 : 2,
  }),
  toString: () => 'byName',
};
