/** Profiles in a real Pyroscope: pushed by each protocol, and scraped, they are found to the sample. */
import assert from 'node:assert/strict';
import { servePprof, startPyroscope } from 'otelpyroscope';
import { CPU_KIND, complaintsAbout, decodePprof, kindsOf } from '../support/pyroscope-rules.mjs';
import { eventually } from './processes.mjs';
import {
  FOUND_SECONDS,
  newService,
  newTenant,
  skipWithNote,
  useSharedServer,
} from './pyroscope.mjs';
import { Queries, selector } from './pyroscope-queries.mjs';
import { Relay } from './relay.mjs';
import { scrape } from './scrape.mjs';
import { byStack, samplesOf, sumOf, tracerOf, work } from './workload.mjs';

const COUNTS = 'process_cpu:samples:count:cpu:nanoseconds';
const CART = 'GET /cart';
const PAY = 'POST /pay';
/** Labels of the series that the agent adds, as @pyroscope/nodejs does. */
const AGENT_LABELS = [
  'otel.scope.name',
  'otel.scope.version',
  'process.runtime.name',
  'process.runtime.version',
];
/** Labels that the client or the server adds to a series; others of the server begin with `__`. */
const ADDED = ['pyroscope_spy', 'service.name'];

describe('profiles in Pyroscope', function () {
  this.timeout(120_000);
  const use = useSharedServer();

  /** Old servers take a trace for a series: they are to get no traces. */
  const doWork = (label) => {
    const tracer = tracerOf({ traceIdLabel: use.server.knowsTraces });
    return work(tracer, { names: [CART, PAY], label });
  };

  /**
   * Tests that every question about what was sent gets the right answer. `sent()` has the tenant, the service, the
   * decoded profiles, the kinds, the three spans, and the names of labels that there are to be.
   */
  const itIsFound = (sent) => {
    let asked;
    let samples;
    let service;

    before(async function () {
      this.timeout(720_000);
      const { tenant, profiles } = sent();
      service = { service_name: sent().service };
      // From the first profile on: trace_id_selector is not answered for times before all data.
      const starts = profiles.map(({ timeNanos }) => Number(timeNanos / 1_000_000n));
      const range = [Math.min(...starts), Date.now() + 60_000];
      asked = new Queries(use.server.url, tenant, range);
      samples = samplesOf(profiles);
      const isThere = async () => (await asked.total(service)) > 0;
      await eventually('the profile', isThere, FOUND_SECONDS);
    });

    it('by the kinds that the stand-in says', async () => {
      const { kinds } = sent();
      assert.ok(kinds.includes(CPU_KIND));
      assert.deepEqual(await asked.kinds(service), [...kinds].sort());
    });

    it('by service, with every stack, file and line', async () => {
      assert.equal(await asked.total(service), sumOf(samples));
      const stacks = await asked.stacks(service);
      assert.deepEqual(
        stacks.map(([stack, sum]) => [JSON.stringify(stack), sum]).sort(),
        byStack(samples),
      );
      if (!sent().kinds.includes(COUNTS)) return;
      assert.equal(await asked.total(service, { kind: COUNTS }), sumOf(samples, {}, 'count'));
    });

    it('by label', async () => {
      const { labelNames, label } = sent();
      for (const own of [{ span_name: CART }, { span_name: PAY }, { [label]: 'acme' }]) {
        const expected = sumOf(samples, own);
        assert.ok(expected > 0);
        assert.equal(await asked.total({ ...service, ...own }), expected, selector(own));
      }
      // Neither of spans nor of traces: each would be a series.
      const names = await asked.labelNames(service, true);
      assert.deepEqual(
        names.filter((name) => !ADDED.includes(name)),
        [...labelNames].sort(),
      );
      assert.deepEqual(await asked.labelValues(service, 'span_name'), [CART, PAY]);
    });

    it('by span', async () => {
      const { spans } = sent();
      const cart = [true, true, false];
      for (const [index, { spanId }] of spans.entries()) {
        const expected = sumOf(samples, { span_id: spanId });
        assert.ok(expected > 0);
        const { total, names } = await asked.spanProfile(service, [spanId]);
        assert.equal(total, expected);
        assert.equal(names.includes('burn_cart'), cart[index], String(names));
        assert.ok(!names.includes('burn_plain'), String(names));
      }
      const two = spans.slice(1).map(({ spanId }) => spanId);
      const expected = two.reduce((sum, id) => sum + sumOf(samples, { span_id: id }), 0);
      assert.equal((await asked.spanProfile(service, two)).total, expected);
      assert.equal((await asked.spanProfile(service, ['f'.repeat(16)])).total, 0);
    });

    it('by trace', async function () {
      if (!use.server.knowsTraces) {
        skipWithNote(this, `traces in Pyroscope: ${use.server.version} has no trace_id_selector`);
      }
      for (const { spanId, traceId } of sent().spans) {
        const expected = sumOf(samples, { trace_id: traceId });
        assert.ok(expected > 0);
        assert.equal(await asked.total(service, { traces: [traceId] }), expected);
        // In the same question by span, as newer Grafanas ask.
        assert.equal(
          await asked.total(service, { spans: [spanId] }),
          sumOf(samples, { span_id: spanId }),
        );
      }
      assert.equal(await asked.total(service, { traces: ['f'.repeat(32)] }), 0);
    });

    it('in the heat map of spans', async () => {
      const { spans } = sent();
      const names = { [CART]: spans.slice(0, 2), [PAY]: spans.slice(2) };
      const { series } = await asked.heatmap(service, ['span_name']);
      for (const [name, own] of Object.entries(names)) {
        const found = series.filter(({ labels }) => labels.some(({ value }) => value === name));
        const slots = found.flatMap((entry) => entry.slots);
        const counts = slots.flatMap((slot) => slot.counts);
        assert.equal(
          counts.reduce((sum, count) => sum + count, 0),
          own.length,
        );
        const examples = slots.flatMap(({ exemplars }) => exemplars);
        assert.deepEqual(
          examples.map(({ spanId, value }) => [spanId, Number(value)]).sort(),
          own.map(({ spanId }) => [spanId, sumOf(samples, { span_id: spanId })]).sort(),
        );
      }
    });
  };

  for (const protocol of ['ingest', 'connect', 'otlp']) {
    describe(`pushed by ${protocol}, are found`, () => {
      const tenant = newTenant();
      const service = newService();
      let relay;
      let spans;
      let metrics;

      before(async () => {
        relay = await Relay.start(use.server.url);
        const agent = startPyroscope({
          serverAddress: relay.url,
          protocol,
          tenantId: tenant,
          applicationName: service,
          tags: { 'k8s.pod.name': 'shop-1', zone: 'a' },
          flushIntervalMs: 300_000,
          intervalMicros: 1_000,
        });
        spans = doWork(['tenant.id', 'acme']);
        await agent.stop();
        metrics = agent.metrics();
        await relay.close();
      });

      it('without a complaint', () => {
        assert.deepEqual(relay.complaints, []);
        assert.equal(relay.failed, 0);
        const { uploads, droppedProfiles, droppedLabels, lastError } = metrics;
        assert.deepEqual(
          { uploads, droppedProfiles, droppedLabels, lastError },
          { uploads: 1, droppedProfiles: 0, droppedLabels: 0, lastError: undefined },
        );
      });

      const [label, pod] =
        protocol === 'otlp' ? ['tenant.id', 'k8s.pod.name'] : ['tenant_id', 'k8s_pod_name'];
      const agentLabels = AGENT_LABELS.map((name) =>
        protocol === 'otlp' ? name : name.replaceAll('.', '_'),
      );
      itIsFound(() => ({
        tenant,
        service,
        profiles: relay.uploads.map(({ profile }) => profile),
        kinds: relay.uploads.flatMap(({ kinds }) => kinds),
        spans,
        label,
        labelNames: ['service_name', 'span_name', 'zone', label, pod, ...agentLabels],
      }));
    });
  }

  describe('scraped as Alloy does it, are found', () => {
    const tenant = newTenant();
    const service = newService();
    let spans;
    let profile;

    before(async () => {
      const server = await servePprof({ intervalMicros: 1_000 });
      const target = `http://127.0.0.1:${server.address().port}`;
      const scraped = scrape({
        target,
        seconds: 3,
        serverAddress: use.server.url,
        tenant,
        serviceName: service,
      });
      // The profile begins with the request.
      await new Promise((resolve) => setTimeout(resolve, 500));
      spans = doWork(['tenant', 'acme']);
      profile = decodePprof(await scraped);
      server.close();
    });

    it('without a complaint', () => {
      assert.deepEqual(complaintsAbout(profile, { service_name: service }), []);
    });

    itIsFound(() => ({
      tenant,
      service,
      profiles: [profile],
      kinds: kindsOf({ protocol: 'connect', name: 'process_cpu', profile }),
      spans,
      label: 'tenant',
      labelNames: ['instance', 'job', 'service_name', 'span_name', 'tenant'],
    }));
  });
});
