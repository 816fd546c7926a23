/** Profiles made up for tests, as pprof bytes: stacks of names, with labels and values. */
import { gzipSync } from 'node:zlib';
import {
  Function,
  Label,
  Line,
  Location,
  Profile,
  Sample,
  StringTable,
  ValueType,
} from 'pprof-format';

/**
 * @typedef {object} MadeSample
 * @property {string[]} stack Leaf first: "name", "name file" or "name file:line"; files begin with / or node:.
 * @property {number} nanos A multiple of the period of 10 ms is a count of its own.
 * @property {Record<string, string>} [labels]
 *
 * @param {Iterable<MadeSample>} samples
 * @returns {Uint8Array} Gzipped.
 */
export function makeProfile(samples) {
  const strings = new StringTable();
  const text = (value) => strings.dedup(value);
  const functions = new Map();
  const locations = new Map();
  const functionOf = (name, file) => {
    const key = `${name}\0${file}`;
    if (!functions.has(key)) {
      const id = functions.size + 1;
      functions.set(key, new Function({ id, name: text(name), filename: text(file) }));
    }
    return functions.get(key).id;
  };
  const locationOf = (frame) => {
    if (!locations.has(frame)) {
      const [, name, file = '', line = '0'] = /^(.*?)(?: ((?:node:|\/)[^ ]*?)(?::(\d+))?)?$/s.exec(
        frame,
      );
      const id = locations.size + 1;
      const lines = [new Line({ functionId: functionOf(name, file), line: Number(line) })];
      locations.set(frame, new Location({ id, line: lines }));
    }
    return locations.get(frame).id;
  };
  const made = Array.from(samples, ({ stack, nanos, labels = {} }) => {
    const label = Object.entries(labels).map(
      ([key, value]) => new Label({ key: text(key), str: text(value) }),
    );
    return new Sample({ locationId: stack.map(locationOf), value: [1, nanos], label });
  });
  const type = (name, unit) => new ValueType({ type: text(name), unit: text(unit) });
  const profile = new Profile({
    sampleType: [type('samples', 'count'), type('cpu', 'nanoseconds')],
    sample: made,
    location: [...locations.values()],
    function: [...functions.values()],
    stringTable: strings,
    timeNanos: 1_700_000_000_000_000_000n,
    durationNanos: 10_000_000_000,
    periodType: type('cpu', 'nanoseconds'),
    period: 10_000_000,
  });
  return gzipSync(profile.encode());
}

/** 32 hexadecimal digits. */
export function traceId(number) {
  return number.toString(16).padStart(32, '0');
}

/**
 * Twenty requests of one kind, and in one of them a function that the others do not have; besides,
 * requests of another kind, and CPU without a span.
 */
export function shopProfile() {
  const samples = [{ stack: ['(garbage collector)'], nanos: 40e6 }];
  for (let i = 1; i <= 20; i++) {
    const labels = { trace_id: traceId(i), span_id: traceId(i).slice(16), span_name: 'GET /cart' };
    const base = ['handleCart /app/cart.js:10', 'emit node:events:500'];
    samples.push({ stack: ['sumPrices /app/cart.js:30', ...base], nanos: 30e6, labels });
    samples.push({ stack: ['renderCart /app/cart.js:50', ...base], nanos: 50e6, labels });
    if (i === 7) {
      const slow = ['slowTaxTable /app/tax.js:12', 'sumPrices /app/cart.js:31', ...base];
      samples.push({ stack: slow, nanos: 900e6, labels });
    }
  }
  for (let i = 101; i <= 110; i++) {
    const labels = { trace_id: traceId(i), span_id: traceId(i).slice(16), span_name: 'GET /stock' };
    const stack = ['countStock /app/node_modules/stock/index.js:5', 'emit node:events:500'];
    samples.push({ stack, nanos: 60e6, labels });
  }
  return makeProfile(samples);
}

/** 50,000 different stacks under 10,000 spans, up to 20 frames deep. */
export function largeProfile({ samples = 50_000, spans = 10_000 } = {}) {
  let seed = 42;
  const random = (below) => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % below;
  };
  function* generate() {
    for (let i = 0; i < samples; i++) {
      const span = i % spans;
      const depth = 6 + random(14);
      // Few functions near the root, many near the leaf, as in programs.
      const stack = Array.from({ length: depth }, (_, level) => {
        const number = random(Math.min(2 + (depth - level) * (depth - level), 800));
        return `function${depth - level}_${number} /app/module${number % 40}.js:${1 + random(5)}`;
      });
      const labels = {
        trace_id: traceId(Math.floor(span / 4)),
        span_id: traceId(span).slice(16),
        span_name: `GET /route/${span % 25}`,
      };
      yield { stack, nanos: 1e7, labels };
    }
  }
  return makeProfile(generate());
}
