/** OTLP uploads through a real OpenTelemetry Collector: all that was sent comes out at its other end. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { gunzipSync } from 'node:zlib';
import { CpuProfiler, withLabels } from 'otelpyroscope';
import { createBurners, cpuMicros } from '../support/burners.mjs';
import { makeWindow } from '../support/make-window.mjs';
import { decodePprof } from '../support/pyroscope-rules.mjs';
import {
  buildCollector,
  decodeByCollector,
  Sink,
  startCollector,
  whyNoCollector,
} from './collector.mjs';
import { eventually, freePort } from './processes.mjs';

const require = createRequire(import.meta.url);
const { DEFAULT_PROFILE_LIMITS, fitProfile } = require('../../lib/pyroscope/server-limits.js');
const { Uploader } = require('../../lib/pyroscope/uploader.js');
const { CPU_PROFILE } = require('../../lib/util/profile-types.js');
const { uploadRequest } = require('../../lib/pyroscope/upload-request.js');
const { noteNotRun } = require('../support/not-run.cjs');

const limits = { ...DEFAULT_PROFILE_LIMITS, labels: 22 };
const HOSTILE = [' ', 'a"b\\c\n\t', '}{,=', 'größe 漢字 😀', 'x'.repeat(2_000), '\u0000'];
const ids = (digit) => ({ trace_id: digit.repeat(32), span_id: digit.repeat(16) });

/** A profile of real code, under spans, labels of the user's own, both, one id alone, and nothing. */
async function realProfile() {
  const burners = createBurners(['one', 'two']);
  const burn = (name) => {
    const until = cpuMicros() + 150_000;
    while (cpuMicros() < until) {
      burners.get(name)(2_000);
      JSON.stringify(Array.from({ length: 2_000 }, (_, index) => ({ index })));
    }
  };
  const profiler = new CpuProfiler({ intervalMicros: 1_000 });
  profiler.start();
  withLabels({ ...ids('a'), span_name: 'GET /' }, () => {
    burn('one');
    withLabels({ 'tenant.id': 'acme' }, () => burn('two'));
  });
  withLabels({ ...ids('b'), span_name: 'GET /' }, () => burn('one'));
  withLabels({ span_id: 'c'.repeat(16) }, () => burn('two'));
  burn('one');
  return profiler.stop();
}

const series = () => ({
  serviceName: 'unknown_service:node "x"',
  serviceNamespace: 'größe',
  tags: { 'k8s.pod.name': 'shop-1', zone: 'a' },
});
const resource = {
  'service.name': 'unknown_service:node "x"',
  'service.namespace': 'größe',
  pyroscope_spy: 'nodespy',
  'k8s.pod.name': 'shop-1',
  zone: 'a',
};

/** Samples as text, in an order of their own. */
function sorted(samples) {
  const texts = samples.map(({ stack, labels, traceId, spanId, values }) =>
    JSON.stringify([
      stack.map(({ name, file, startLine, line }) => [name, file, startLine, line]),
      Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)),
      ...[traceId, spanId, values],
    ]),
  );
  return texts.sort();
}

/** Returns the parts of a pprof profile that must arrive. */
function expected(gzipped) {
  const profile = decodePprof(gzipped);
  const samples = profile.samples.map(({ stack, count, labels: list }) => {
    const labels = Object.fromEntries(list);
    const { trace_id: traceId = '', span_id: spanId = '', ...others } = labels;
    // A link has both ids; one alone is a label like any other.
    const link = traceId !== '' && spanId !== '' ? { traceId, spanId, labels: others } : undefined;
    return { stack, values: [count], ...(link ?? { traceId: '', spanId: '', labels }) };
  });
  return {
    resource,
    scope: 'otelpyroscope',
    sampleType: 'samples/count',
    periodType: 'cpu/nanoseconds',
    period: profile.period,
    timeNanos: String(profile.timeNanos),
    durationNanos: String(profile.durationNanos),
    samples: sorted(samples),
  };
}

/**
 * Asserts that a request has this profile and no fault. The Collector puts text of the resource into
 * the table of strings as well, and its library takes it out again without a trace.
 */
function assertIs(request, gzipped, { received }) {
  const { faults, orphans, profiles } = decodeByCollector(request);
  assert.deepEqual(faults, []);
  const isOfResource = (entry) => received && entry.startsWith('string_table');
  assert.deepEqual(
    orphans.filter((entry) => !isOfResource(entry)),
    [],
  );
  assert.equal(profiles.length, 1);
  const [profile] = profiles;
  const wanted = expected(gzipped);
  assert.deepEqual({ ...profile, samples: sorted(profile.samples) }, wanted);
  assert.ok(wanted.samples.length > 0);
}

describe('OTLP through an OpenTelemetry Collector', () => {
  let port;
  let sink;
  let collector;
  let uploader;

  const add = async (gzipped) => {
    uploader.add(CPU_PROFILE, (await fitProfile(gzipped, limits)).parts);
  };
  const received = (count) =>
    eventually(`${count} requests`, () => sink.requests.length >= count && sink.requests);

  before(async function () {
    this.timeout(900_000);
    const reason = whyNoCollector();
    if (reason !== undefined) {
      noteNotRun(`the Collector: ${reason}`);
      this.skip();
    }
    buildCollector();
    port = await freePort();
  });

  beforeEach(async () => {
    sink = await Sink.start();
    const serverAddress = `http://127.0.0.1:${port}`;
    const config = { serverAddress, headers: {}, protocol: 'otlp', timeoutMs: 10_000 };
    uploader = new Uploader(config, series);
  });

  afterEach(async () => {
    uploader.stop('the test is over');
    await collector?.stop();
    collector = undefined;
    await sink.close();
    assert.deepEqual(sink.complaints, []);
  });

  it('arrives with every sample, label, link and attribute of a real profile', async () => {
    collector = await startCollector(port, sink);
    const gzipped = await realProfile();
    assert.ok(decodePprof(gzipped).samples.some(({ labels }) => labels.length >= 4));
    await add(gzipped);
    await uploader.drain();
    assert.equal(uploader.uploads, 1);
    assertIs((await received(1))[0], gzipped, { received: true });
    await eventually('its log', () => /"sample records": [1-9]/.test(collector.output));
  });

  it('arrives with text of every kind unchanged', async () => {
    collector = await startCollector(port, sink);
    const gzipped = makeWindow(HOSTILE.length * 2, (index) => ({
      'http.route': HOSTILE[index % HOSTILE.length],
      ...(index < HOSTILE.length ? ids('d') : {}),
    }));
    await add(gzipped);
    await uploader.drain();
    assertIs((await received(1))[0], gzipped, { received: true });
  });

  it('is what the format requires, compressed by gzip', async () => {
    const gzipped = await realProfile();
    const config = { serverAddress: 'http://127.0.0.1', headers: {}, protocol: 'otlp' };
    const [{ summary }] = (await fitProfile(gzipped, limits)).parts;
    const { headers, body } = await uploadRequest(config, {
      id: randomUUID(),
      type: CPU_PROFILE,
      series: series(),
      gzipped,
      summary,
    });
    assert.equal(headers['content-encoding'], 'gzip');
    assertIs(gunzipSync(body), gzipped, { received: false });
  });

  it('is checked by a collector that finds faults', () => {
    // A dictionary without tables; and one whose strings are "x" twice.
    const empty = decodeByCollector(Buffer.from([0x12, 0x00])).faults;
    assert.equal(empty.length, 7);
    for (const fault of empty) assert.match(fault, /_table has no first entry$/);
    const strings = Buffer.from([0x12, 0x06, 0x2a, 0x01, 0x78, 0x2a, 0x01, 0x78]);
    const { faults, orphans } = decodeByCollector(strings);
    for (const fault of ['[0] is not empty: x', '[1] is string_table[0] again']) {
      assert.ok(faults.includes(`string_table${fault}`), faults.join('\n'));
    }
    assert.deepEqual(orphans, ['string_table[1]']);
  });

  it('arrives completely after the collector was down, at first and in between', async () => {
    const windows = Array.from({ length: 6 }, (_, index) => makeWindow(index + 1));
    for (const window of windows.slice(0, 2)) await add(window);
    await eventually('a failed try', () => uploader.lastError !== undefined);
    collector = await startCollector(port, sink);
    await add(windows[2]);
    await received(3);
    await collector.stop();
    for (const window of windows.slice(3, 5)) await add(window);
    collector = await startCollector(port, sink);
    await add(windows[5]);
    const requests = await received(6);
    await uploader.drain();
    const { uploads, droppedProfiles } = uploader;
    assert.deepEqual({ uploads, droppedProfiles }, { uploads: 6, droppedProfiles: 0 });
    const sizes = requests.map((request) => decodeByCollector(request).profiles[0].samples.length);
    assert.deepEqual(sizes.sort(), [1, 2, 3, 4, 5, 6]);
  });
});
