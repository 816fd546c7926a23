/** The labels of a service under the real http and express instrumentations, in every scope. */

import assert from 'node:assert/strict';
import { Agent, get } from 'node:http';
import { fileURLToPath } from 'node:url';
import { SpanKind } from '@opentelemetry/api';
import { Scope } from 'otelpyroscope';
import { assertLabels, checkLabels } from '../support/check-labels.mjs';
import { readProfile } from '../support/read-profile.mjs';
import { runNode } from '../support/run-child.mjs';

const FIXTURE = fileURLToPath(new URL('./fixtures/instrumented-service.mjs', import.meta.url));
const REQUESTS = 24;
const CONNECTIONS = 8;
/** CPU of one burn: more than a kernel tick of 4 ms, so that each place, with two, is seen. */
const BURN_MICROS = 6_000;
const CPU_TIME = 'pyroscope.cpu_time_ms';
/** The ids of the caller of every third request, and of every third that is not sampled. */
const REMOTE_SPAN_ID = 'aaaaaaaaaaaaaaaa';
const PLACES = ['middleware', 'route', 'manual', 'inner'];
const HANDLER = 'request handler';

const combinations = [
  { title: 'RootSpan', spanIdScope: Scope.RootSpan, spanNameScope: Scope.RootSpan },
  { title: 'AllSpans', spanIdScope: Scope.AllSpans, spanNameScope: Scope.AllSpans },
  { title: 'None', spanIdScope: Scope.None, spanNameScope: Scope.None },
];

for (const { title, ...scopes } of combinations) {
  describe(`labels under the http and express instrumentations, ${title}`, function () {
    this.timeout(60_000);

    let spans;
    let profile;

    before(async () => {
      const done = await serve(scopes);
      spans = done.spans;
      profile = readProfile(Buffer.from(done.profile, 'base64'));
    });

    it('are on the CPU of every request, with its span, and on nothing else', () => {
      const expected = { outside: {} };
      for (let index = 0; index < REQUESTS; index += 1) {
        for (const place of PLACES) {
          expected[`${place}_${index}`] = expectedLabels(place, index, scopes, spans);
        }
      }
      const check = checkLabels(profile.samples, expected);
      assertLabels(check);
      for (const place of PLACES) {
        const seen = [...check.burners.values()].filter(
          ({ name, nanos }) => name.startsWith(place) && nanos > 0,
        );
        assert.ok(seen.length > REQUESTS / 2, `${place}: only ${seen.length} requests seen`);
      }
      assert.ok(check.burners.get('outside').nanos > 0, 'nothing ran outside of the requests');
    });

    it('have only ids of exported spans', () => {
      const exported = new Set(spans.map(({ traceId, spanId }) => `${traceId} ${spanId}`));
      const traces = new Set(spans.map(({ traceId }) => traceId));
      for (const { labels } of profile.samples) {
        if (labels.trace_id === undefined) continue;
        assert.ok(traces.has(labels.trace_id), `trace ${labels.trace_id}`);
        if (scopes.spanIdScope === Scope.None) assert.equal(labels.span_id, undefined);
        else assert.ok(exported.has(`${labels.trace_id} ${labels.span_id}`), labels.span_id);
      }
    });

    it('have the route of every request, which its span learns at its end', () => {
      if (scopes.spanNameScope !== Scope.RootSpan) return;
      const names = new Set(profile.samples.map(({ labels }) => labels.span_name));
      assert.ok(names.has('GET /work/:index') && names.has('GET /inner/:index'), [...names].join());
    });

    it('come with the CPU time until the end of each span, if it has samples', () => {
      const millis = new Map();
      for (const { labels, nanos } of profile.samples) {
        millis.set(labels.span_id, (millis.get(labels.span_id) ?? 0) + nanos / 1e6);
      }
      const timed = spans.filter(({ attributes }) => attributes[CPU_TIME] !== undefined);
      if (scopes.spanIdScope !== Scope.None) assert.ok(timed.length > REQUESTS / 2);
      for (const { spanId, attributes } of timed) {
        if (scopes.spanIdScope === Scope.None) continue;
        const { [CPU_TIME]: own } = attributes;
        // The service burns also after a response, when its span may have ended.
        assert.ok(own > 0 && own <= millis.get(spanId), `${own} of ${millis.get(spanId)} ms`);
      }
    });

    it('come with an attribute on the spans that have a profile', () => {
      for (const span of spans) {
        const isRoot = span.kind === SpanKind.SERVER;
        const marked =
          scopes.spanIdScope === Scope.AllSpans ||
          (scopes.spanIdScope === Scope.RootSpan && isRoot);
        assert.equal(span.attributes['pyroscope.profile.id'], marked ? span.spanId : undefined);
      }
    });
  });
}

/** Runs the service, sends it all requests, and returns what it says at the end. */
async function serve(scopes) {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const settings = JSON.stringify({ requests: REQUESTS, burnMicros: BURN_MICROS, ...scopes });
  const ended = await runNode([FIXTURE, settings], {
    timeoutMs: 50_000,
    onSpawn: (child) =>
      child.once('message', async ({ port }) => {
        const indexes = Array.from({ length: REQUESTS }, (_, index) => index);
        await Promise.all(indexes.map((index) => request(agent, port, index)));
        child.send('stop');
      }),
  });
  agent.destroy();
  assert.equal(ended.code, 0, ended.stderr);
  return ended.messages.find(({ type }) => type === 'done');
}

function request(agent, port, index) {
  const headers = {};
  if (isRemote(index)) headers.traceparent = `00-${remoteTraceId(index)}-${REMOTE_SPAN_ID}-01`;
  if (isUnsampled(index)) headers.traceparent = `00-${remoteTraceId(index)}-${REMOTE_SPAN_ID}-00`;
  return new Promise((resolve, reject) => {
    const options = { agent, port, host: '127.0.0.1', path: `/work/${index}`, headers };
    get(options, (response) => {
      assert.equal(response.statusCode, 200);
      response.resume().once('end', resolve);
    }).once('error', reject);
  });
}

function isRemote(index) {
  return index % 3 === 1;
}

function isUnsampled(index) {
  return index % 6 === 2;
}

function remoteTraceId(index) {
  return `b${String(index).padStart(31, '0')}`;
}

/** The labels of one point of one request by the rules of tracing.md, from the exported spans. */
function expectedLabels(place, index, { spanIdScope, spanNameScope }, spans) {
  const labels = {};
  if (isUnsampled(index)) {
    if (spanNameScope === Scope.RootSpan) labels.span_name = 'GET';
    if (spanNameScope === Scope.AllSpans) labels.span_name = nameAtStart(place, index);
    return labels;
  }
  const path = `/${place === 'inner' ? 'inner' : 'work'}/${index}`;
  const root = only(spans, (span) => span.kind === SpanKind.SERVER && pathOf(span) === path);
  if (isRemote(index)) assert.equal(root.traceId, remoteTraceId(index));
  const own = only(
    spans,
    (span) =>
      span.traceId === root.traceId &&
      span.name === nameAtStart(place, index) &&
      (place === 'manual' || span.parentSpanId === root.spanId),
  );
  labels.trace_id = root.traceId;
  if (spanIdScope === Scope.RootSpan) labels.span_id = root.spanId;
  if (spanIdScope === Scope.AllSpans) labels.span_id = own.spanId;
  if (spanNameScope === Scope.RootSpan) labels.span_name = root.name;
  if (spanNameScope === Scope.AllSpans) labels.span_name = own.name;
  return labels;
}

/** The name of the innermost span of a place; the instrumentations do not rename these. */
function nameAtStart(place, index) {
  if (place === 'middleware') return 'middleware - burnInMiddleware';
  return place === 'manual' ? `manual ${index}` : HANDLER;
}

function pathOf({ attributes }) {
  return attributes['http.target'] ?? attributes['url.path'];
}

function only(spans, matches) {
  const found = spans.filter(matches);
  assert.equal(found.length, 1, `${found.length} spans match ${matches}`);
  return found[0];
}
