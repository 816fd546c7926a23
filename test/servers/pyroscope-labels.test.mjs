/** Labels of any text, and tenants, in a real Pyroscope. */
import assert from 'node:assert/strict';
import { startPyroscope, withLabels } from 'otelpyroscope';
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
import { burn, samplesOf, sumOf, tracerOf } from './workload.mjs';

/** Text that a protocol, a selector or a parser might stumble over. */
const HOSTILE = {
  quotes: `a"b'c\`d\\e`,
  braces: 'a,b}={c=d',
  lines: ' x\ny\r\tz ',
  scripts: 'größe 漢字 😀',
  control: 'a\u0000b\u007f\u2028',
  selector: '"} or {a=~".*"}',
  percent: '%00%7D&name=x+y',
  long: '漢'.repeat(682),
};

describe('labels in Pyroscope', function () {
  this.timeout(720_000);
  const use = useSharedServer();
  let serviceName;

  let relay;
  let agents = [];

  beforeEach(async () => {
    serviceName = `unknown_service:node "${newService()}"`;
    relay = await Relay.start(use.server.url);
  });

  afterEach(async () => {
    await Promise.all(agents.map((agent) => agent.stop()));
    agents = [];
    await relay.close();
    assert.deepEqual(relay.complaints, []);
  });

  const start = (config) => {
    const agent = startPyroscope({
      serverAddress: relay.url,
      applicationName: serviceName,
      flushIntervalMs: 300_000,
      intervalMicros: 1_000,
      ...config,
    });
    agents.push(agent);
    return agent;
  };

  const queries = (tenant) =>
    new Queries(use.server.url, tenant, [Date.now() - 900_000, Date.now() + 60_000]);

  for (const protocol of ['ingest', 'connect', 'otlp']) {
    it(`may have any text, by ${protocol}`, async () => {
      const tenant = newTenant();
      const agent = start({ protocol, tenantId: tenant, tags: HOSTILE });
      const tracer = tracerOf({ traceIdLabel: use.server.knowsTraces });
      const ofSamples = Object.entries(HOSTILE).map(([name, text]) => [`own_${name}`, text]);
      for (const [name, text] of ofSamples) {
        tracer.startActiveSpan(text, (span) => {
          withLabels({ [name]: text }, () => burn('cart', 40));
          span.end();
        });
      }
      await agent.stop();
      assert.equal(relay.taken.length, 1, relay.uploads[0]?.answer);
      const samples = samplesOf(relay.uploads.map(({ profile }) => profile));
      const asked = queries(tenant);
      const service = { service_name: serviceName };
      const total = sumOf(samples);
      await eventually('the profile', async () => (await asked.total(service)) > 0, FOUND_SECONDS);
      assert.equal(await asked.total(service), total);

      for (const [name, text] of Object.entries(HOSTILE)) {
        // Docs: what /ingest cannot express, and the space that it takes away.
        const sent = protocol === 'ingest' ? text.replace(/[,}]/g, '_').trim() : text;
        assert.deepEqual(await asked.labelValues(service, name), [sent], name);
        assert.equal(await asked.total({ ...service, [name]: sent }), total, name);
      }
      for (const [name, text] of ofSamples) {
        const expected = sumOf(samples, { [name]: text });
        assert.ok(expected > 0, name);
        for (const own of [{ [name]: text }, { [name]: text, span_name: text }]) {
          assert.equal(await asked.total({ ...service, ...own }), expected, selector(own));
        }
        assert.deepEqual(await asked.labelValues(service, name), [text]);
      }
    });
  }

  it('belong to one of two tenants', async function () {
    if (!use.server.isMultiTenant) {
      skipWithNote(this, 'tenants in Pyroscope: the server has none');
    }
    const tenants = [newTenant(), newTenant()];
    for (const [index, tenantId] of tenants.entries()) {
      const agent = start({ tenantId, tags: { of: `tenant-${index}` } });
      burn('plain', 100);
      await agent.stop();
    }
    const totals = relay.uploads.map(({ profile }) => sumOf(samplesOf([profile])));
    for (const [index, tenant] of tenants.entries()) {
      const asked = queries(tenant);
      const service = { service_name: serviceName };
      await eventually('the profile', async () => (await asked.total(service)) > 0, FOUND_SECONDS);
      assert.equal(await asked.total(service), totals[index]);
      assert.deepEqual(await asked.labelValues(service, 'of'), [`tenant-${index}`]);
    }
  });

  it('are rejected without a tenant, and the agent reports it', async function () {
    if (!use.server.isMultiTenant) {
      skipWithNote(this, 'tenants in Pyroscope: the server has none');
    }
    for (const protocol of ['ingest', 'connect', 'otlp']) {
      const agent = start({ protocol });
      burn('plain', 50);
      await agent.stop();
      const { droppedProfiles, lastError } = agent.metrics();
      assert.equal(droppedProfiles, 1);
      assert.match(lastError, /HTTP 401.*no org id/);
    }
  });
});
