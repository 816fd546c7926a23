/** Measures what a profiler adds to a request of a traced HTTP service. */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import autocannon from 'autocannon';
import { runAsProgram } from './as-program.mjs';
import { loadModes, loadTable } from './load.mjs';
import { messageFrom, program } from './measure.mjs';
import { ownNanos } from './programs/profilers.mjs';

const REQUESTS = 2_000;
/** Requests until V8 has optimized the service, as services run all day. */
const WARM_UP = 15_000;
/** Measurements of one set of processes, alternating between them. */
const SLICES = 4;
const CONNECTIONS = 10;

class Service {
  constructor(child, port) {
    this.child = child;
    this.url = `http://127.0.0.1:${port}/`;
  }

  static async start(mode, node) {
    const child = fork(program('http-service.mjs'), [mode], {
      execPath: node.execPath,
      execArgv: [],
    });
    const { port } = await messageFrom(child);
    return new Service(child, port);
  }

  async ask() {
    const message = messageFrom(this.child);
    this.child.send('usage');
    return message;
  }

  async load(amount) {
    const result = await autocannon({ url: this.url, amount, connections: CONNECTIONS });
    if (result.errors + result.non2xx > 0) throw new Error(`${result.errors} errors`);
  }

  /** CPU of the process per request, in microseconds. */
  async measure() {
    const before = await this.ask();
    await this.load(REQUESTS);
    const after = await this.ask();
    const micros = after.micros - before.micros;
    return { value: micros / REQUESTS, micros, own: ownNanos(before.metrics, after.metrics) };
  }

  async stop() {
    this.child.kill('SIGKILL');
    await once(this.child, 'exit');
  }
}

async function measureSet(modes, node, results) {
  const services = {};
  try {
    for (const mode of modes) {
      services[mode] = await Service.start(mode, node);
      await services[mode].load(WARM_UP);
    }
    for (let slice = 0; slice < SLICES; slice++) {
      for (let i = 0; i < modes.length; i++) {
        const mode = modes[(i + slice) % modes.length];
        results[mode].push(await services[mode].measure());
      }
    }
  } finally {
    await Promise.all(Object.values(services).map((service) => service.stop()));
  }
}

export const bench = {
  title: 'HTTP load',
  about:
    `CPU of a service per request, ${REQUESTS} requests at a time by ${CONNECTIONS} connections, with ` +
    "OpenTelemetry's SDK and http instrumentation and a span in each request, at 100 Hz. With ours " +
    'the tracer provider is wrapped, so the price of the labels is in it; Datadog and Pyroscope are ' +
    'given labels by their own calls.',
  rounds: 4,
  async run({ rounds, node, peers }) {
    const [off, again, ...others] = loadModes(peers);
    const modes = [off, again, 'labels', ...others];
    const results = Object.fromEntries(modes.map((mode) => [mode, []]));
    for (let round = 0; round < rounds; round++) await measureSet(modes, node, results);
    return loadTable(results, 'µs of CPU a request', 0);
  },
};

void runAsProgram(import.meta.url);
