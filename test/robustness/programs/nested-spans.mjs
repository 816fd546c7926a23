/**
 * Spans in spans in spans, of which many end by an exception, some across awaits: after each, the
 * labels must be those of the span around it. Argument: how many spans.
 */

import { setImmediate as turn } from 'node:timers/promises';
import { context } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { BasicTracerProvider } from '@opentelemetry/sdk-trace-base';
import { getLabels, Scope, TracerProvider } from 'otelpyroscope';
import { BURNER_PREFIX, createBurners } from '../../support/burners.mjs';
import { OTHER_THREADS, readProfile } from '../../support/read-profile.mjs';
import { Tortured } from './harness.mjs';

const total = Number(process.argv[2]);
const NAMES = 16;
const MAX_DEPTH = 8;
const ROUNDS = 300;
/** Trees of spans at the same time. */
const AT_ONCE = 10;
const COLLECT_EVERY = 10_000;

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
const tracer = new TracerProvider(new BasicTracerProvider(), {
  spanNameScope: Scope.AllSpans,
  spanIdScope: Scope.AllSpans,
}).getTracer('nested');
const burners = [...createBurners(Array.from({ length: NAMES }, (_, i) => String(i))).values()];

const report = { spans: 0, exceptions: 0, strayed: 0, checked: 0, wrongSpans: [], wrongNumber: 0 };
/** Number of the name of each span, by its id. */
const numberOf = new Map();

class Planned extends Error {}

/** As if nobody but the span itself could have set the labels. */
function look(span) {
  if (getLabels().span_id !== span.spanContext().spanId) report.strayed++;
}

function begin(span, number) {
  report.spans++;
  numberOf.set(span.spanContext().spanId, number);
  look(span);
  burners[number](ROUNDS);
}

/** Ends as one in four does. */
function end(span, number) {
  burners[number](ROUNDS);
  look(span);
  if (Math.random() < 0.25) {
    report.exceptions++;
    throw new Planned();
  }
}

/** An exception ends all spans up to one of those that catch. */
const catches = (depth) => depth % 2 === 0;

function nest(depth) {
  const number = (report.spans * 7 + depth) % NAMES;
  tracer.startActiveSpan(`span ${number}`, (span) => {
    try {
      begin(span, number);
      for (let i = Math.random() < 0.5 ? 1 : 2; i > 0 && depth < MAX_DEPTH; i--) {
        try {
          nest(depth + 1);
        } catch (error) {
          if (!(error instanceof Planned) || !catches(depth)) throw error;
        }
        look(span);
      }
      end(span, number);
    } finally {
      span.end();
    }
  });
}

async function nestAcrossAwaits(depth) {
  const number = (report.spans * 5 + depth) % NAMES;
  await tracer.startActiveSpan(`span ${number}`, async (span) => {
    try {
      begin(span, number);
      for (let i = Math.random() < 0.5 ? 1 : 2; i > 0 && depth < MAX_DEPTH; i--) {
        await (i === 1 ? null : turn());
        try {
          await nestAcrossAwaits(depth + 1);
        } catch (error) {
          if (!(error instanceof Planned) || !catches(depth)) throw error;
        }
        look(span);
      }
      await null;
      end(span, number);
    } finally {
      span.end();
    }
  });
}

function check(bytes) {
  for (const { stack, labels, count } of readProfile(bytes).samples) {
    if (stack[0]?.name === OTHER_THREADS || labels.span_id === undefined) continue;
    const burner = stack.find(({ name }) => name.startsWith(BURNER_PREFIX))?.name;
    if (burner === undefined) continue;
    report.checked += count;
    const number = Number(burner.slice(BURNER_PREFIX.length));
    if (numberOf.get(labels.span_id) === number && labels.span_name === `span ${number}`) continue;
    report.wrongNumber += count;
    report.wrongSpans.push(`${burner} under ${labels.span_name}, ${labels.span_id}`);
  }
}

async function tree(number) {
  try {
    if (number % 2 === 0) nest(0);
    else await nestAcrossAwaits(0);
  } catch (error) {
    if (!(error instanceof Planned)) throw error;
  }
  if (Object.keys(getLabels()).length > 0) report.strayed++;
}

const tortured = new Tortured();
tortured.start();
let trees = 0;
let nextCollect = COLLECT_EVERY;
while (report.spans < total) {
  await Promise.all(Array.from({ length: AT_ONCE }, () => tree(trees++)));
  if (report.spans < nextCollect) continue;
  nextCollect = report.spans + COLLECT_EVERY;
  check(await tortured.profiler.collect());
}
check(await tortured.profiler.collect());
report.wrongSpans = report.wrongSpans.slice(0, 10);
await tortured.send(report);
