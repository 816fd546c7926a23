/** Work whose CPU is known by span, trace and label, for the tests against Pyroscope. */
import { context } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { BasicTracerProvider } from '@opentelemetry/sdk-trace-base';
import { TracerProvider, withLabels } from 'otelpyroscope';
import { createBurners, cpuMicros } from '../support/burners.mjs';

const burners = createBurners(['cart', 'pay', 'plain']);

/** Uses CPU for certain, whatever else runs on the machine. */
export function burn(name, millis = 150) {
  const until = cpuMicros() + millis * 1_000;
  while (cpuMicros() < until) burners.get(name)(2_000);
}

let hasContext = false;

/** A tracer whose spans become labels; options as of `TracerProvider`. */
export function tracerOf(options) {
  if (!hasContext) {
    hasContext = true;
    context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  }
  return new TracerProvider(new BasicTracerProvider(), options).getTracer('servers');
}

/**
 * Two requests of one name and one of another, part of the first with a label of the user's own, and
 * work outside of all. Returns the ids of the three: `{ spanId, traceId }`.
 */
export function work(tracer, { names: [first, second], label: [name, value] }) {
  const request = (spanName, burnAll) =>
    tracer.startActiveSpan(spanName, (span) => {
      burnAll();
      span.end();
      return span.spanContext();
    });
  const spans = [
    request(first, () => {
      burn('cart');
      withLabels({ [name]: value }, () => burn('pay'));
    }),
    request(first, () => burn('cart')),
    request(second, () => burn('pay')),
  ];
  burn('plain');
  return spans;
}

/** Returns the samples of decoded profiles: `{ stack, count, nanos, labels }`, labels as an object. */
export function samplesOf(profiles) {
  return [...profiles].flatMap(({ samples }) =>
    samples.map((sample) => ({ ...sample, labels: Object.fromEntries(sample.labels) })),
  );
}

/** The sum of what the samples with such labels have. */
export function sumOf(samples, wanted = {}, value = 'nanos') {
  const fits = ({ labels }) => Object.entries(wanted).every(([key, text]) => labels[key] === text);
  return samples.filter(fits).reduce((sum, sample) => sum + sample[value], 0);
}

/** Samples by stack, as `Queries.stacks` has them, in an order of their own. */
export function byStack(samples, value = 'nanos') {
  const sums = new Map();
  for (const sample of samples) {
    const stack = JSON.stringify(sample.stack.map(({ name, file, line }) => [name, file, line]));
    sums.set(stack, (sums.get(stack) ?? 0) + sample[value]);
  }
  return [...sums].sort();
}
