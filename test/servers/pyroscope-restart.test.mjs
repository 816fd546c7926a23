/** Pyroscope is stopped and started again while agents push: nothing is lost. */
import assert from 'node:assert/strict';
import { startPyroscope } from 'otelpyroscope';
import { eventually } from './processes.mjs';
import { Pyroscope } from './pyroscope.mjs';
import { Queries } from './pyroscope-queries.mjs';
import { Relay } from './relay.mjs';
import { burn, sumOf, samplesOf } from './workload.mjs';

/** Length of a window, in milliseconds. */
const FLUSH_MS = 1_000;

describe('a restart of Pyroscope', function () {
  this.timeout(300_000);

  let server;
  const agents = [];
  let load;

  before(async function () {
    server = await Pyroscope.own(this);
    await server.start();
  });

  after(async () => {
    clearInterval(load);
    for (const { agent, relay } of agents) {
      await agent.stop();
      await relay.close();
    }
    await server?.close();
  });

  it('loses nothing, by any protocol', async () => {
    const begin = Date.now();
    for (const protocol of ['ingest', 'connect', 'otlp']) {
      const relay = await Relay.start(server.url);
      const agent = startPyroscope({
        serverAddress: relay.url,
        protocol,
        applicationName: `shop-${protocol}`,
        flushIntervalMs: FLUSH_MS,
      });
      agents.push({ protocol, relay, agent });
    }
    load = setInterval(() => burn('plain', 30), 100);
    const untilAll = (what, holds) => eventually(what, () => agents.every(holds), 120);
    await untilAll('each has delivered', ({ relay }) => relay.taken.length >= 3);

    await server.stop();
    await untilAll('each has failed', ({ relay }) => relay.failed >= 3);
    const before = new Map(agents.map(({ relay }) => [relay, relay.taken.length]));
    // While it starts it answers, and takes nothing: these are tries of windows, too.
    await server.start();
    await untilAll('each has delivered again', ({ relay, agent }) => {
      return relay.taken.length >= before.get(relay) + 3 && agent.metrics().queued === 0;
    });

    clearInterval(load);
    const queries = new Queries(server.url, 'anonymous', [begin - 60_000, Date.now() + 60_000]);
    for (const { protocol, relay, agent } of agents) {
      await agent.stop();
      const { droppedProfiles, droppedBytes, queued } = agent.metrics();
      assert.deepEqual(
        { protocol, droppedProfiles, droppedBytes, queued },
        { protocol, droppedProfiles: 0, droppedBytes: 0, queued: 0 },
      );
      assert.deepEqual(relay.complaints, []);
      // A window has the time of its own at which it began.
      const taken = new Map(relay.taken.map(({ profile }) => [profile.timeNanos, profile]));
      const tried = new Map(relay.uploads.map(({ profile }) => [profile.timeNanos, profile]));
      assert.equal(taken.size, tried.size);
      assert.equal(taken.size, agent.metrics().uploads);
      const expected = sumOf(samplesOf(taken.values()));
      const service = { service_name: `shop-${protocol}` };
      // A profile that the server accepted just before it stopped, without a response, is stored twice.
      const unanswered = relay.uploads.filter(({ status }) => status === undefined);
      const most = expected + sumOf(samplesOf(unanswered.map(({ profile }) => profile)));
      const found = await eventually('all of it', async () => {
        const total = await queries.total(service);
        return total >= expected && total;
      });
      assert.ok(found <= most, `${found} of ${expected}`);
    }
  });
});
