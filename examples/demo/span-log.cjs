/** A span exporter that keeps what the report needs of each span, in memory and bounded. */

'use strict';

/** `ExportResultCode.SUCCESS` of @opentelemetry/core. */
const SUCCESS = 0;

/** @typedef {{ traceId: string, spanId: string, parentSpanId?: string, name: string, millis: number }} LoggedSpan */

class SpanLog {
  #maxSpans;
  /** @type {LoggedSpan[]} */
  spans = [];
  /** Spans beyond `maxSpans`, not kept. */
  dropped = 0;

  /** @param {{ maxSpans: number }} options */
  constructor({ maxSpans }) {
    this.#maxSpans = maxSpans;
  }

  export(spans, resultCallback) {
    for (const span of spans) {
      if (this.spans.length >= this.#maxSpans) {
        this.dropped += 1;
        continue;
      }
      const { traceId, spanId } = span.spanContext();
      const [seconds, nanos] = span.duration;
      this.spans.push({
        traceId,
        spanId,
        parentSpanId: span.parentSpanContext?.spanId,
        name: span.name,
        millis: seconds * 1e3 + nanos / 1e6,
      });
    }
    resultCallback({ code: SUCCESS });
  }

  async forceFlush() {}

  async shutdown() {}
}

module.exports = { SpanLog };
