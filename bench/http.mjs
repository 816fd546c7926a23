/**
 * Measures what a profiler adds to a request of a traced HTTP service, exact to half a microsecond.
 *
 * With `BENCH_BEFORE`, the path of another built checkout, the package of that one is measured in the
 * same run: what a change costs or saves.
 */

import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import os from 'node:os';
import path from 'node:path';
import autocannon from 'autocannon';
import { runAsProgram } from './as-program.mjs';
import { loadModes } from './load.mjs';
import { atMost, median, messageFrom, NAMES, program, show } from './measure.mjs';
import { OUR_PACKAGE } from './programs/profilers.mjs';

const FRAMEWORKS = ['http', 'express', 'fastify'];
/** Requests of a slice: the first ones find the caches full of the code of another service. */
const REQUESTS = 3_000;
/** Requests until V8 has optimized the service, as services run all day. */
const WARM_UP = 60_000;
/** Measurements of each process of one set, alternating between them. */
const SLICES = 12;
const CONNECTIONS = 10;
const SAMPLE_MS = 20;
/**
 * The new space has the size from the start that it has in a service with more code. V8 would put what
 * some literals of the SDK make into the old space, and decide once in a process which ones, by what the
 * first collections happen to find: 10 µs of 62 a request between two variants.
 */
const FLAGS = ['--min-semi-space-size=16', '--no-allocation-site-pretenuring'];
/** Microseconds of CPU that a request may cost more than without the package. */
const LIMITS = { labels: 3, ours: 4 };
const BEFORE = process.env.BENCH_BEFORE;
const BEFORE_NAMES = {
  'labels-before': `${NAMES.labels}, before`,
  'ours-before': `${NAMES.ours}, before`,
};

/**
 * Keeps this process from going to sleep while it loads a service; returns a function that lets it. The
 * service would wake it by interrupts of its processor, which take up to 3 µs of the service's CPU a
 * request: how often depends on how requests happen to meet, and on how fast the service is.
 */
function stayAwake() {
  let isAwake = true;
  const turn = () => {
    if (isAwake) setImmediate(turn);
  };
  turn();
  return () => {
    isAwake = false;
  };
}

/** The processors for `taskset`. */
const SERVICES_CPU = '0';
const LOAD_CPU = '1';

class Service {
  constructor(child, port) {
    this.child = child;
    this.url = `http://127.0.0.1:${port}/`;
  }

  static async start(mode, framework, node) {
    const [kind, before] = mode.split('-');
    const env = { ...process.env, NODE_OPTIONS: '' };
    if (before !== undefined) env[OUR_PACKAGE] = path.join(BEFORE, 'lib', 'index.js');
    const child = fork(program('http-service.mjs'), [kind, framework], {
      execPath: 'taskset',
      execArgv: ['-c', SERVICES_CPU, node.execPath, ...FLAGS],
      env,
    });
    const { port } = await messageFrom(child);
    return new Service(child, port);
  }

  async micros() {
    const message = messageFrom(this.child);
    this.child.send('usage');
    return (await message).micros;
  }

  async load(amount) {
    const options = { url: this.url, amount, connections: CONNECTIONS };
    const maySleep = stayAwake();
    try {
      // It ends at the end of an interval: a second by default.
      const result = await autocannon({ ...options, sampleInt: SAMPLE_MS });
      if (result.errors + result.non2xx > 0) throw new Error(`${result.errors} errors`);
    } finally {
      maySleep();
    }
  }

  /** CPU of the process per request, in microseconds. */
  async measure() {
    const before = await this.micros();
    await this.load(REQUESTS);
    return ((await this.micros()) - before) / REQUESTS;
  }

  async stop() {
    this.child.kill('SIGKILL');
    await once(this.child, 'exit');
  }
}

/** Other work on the machine adds to some of the slices, so the quickest third counts. */
function quickest(slices) {
  return median([...slices].sort((a, b) => a - b).slice(0, Math.ceil(slices.length / 3)));
}

/** Adds one value of each variant, of new processes: their code lies elsewhere each time. */
async function measureSet(modes, framework, node, results) {
  const services = {};
  const slices = Object.fromEntries(modes.map((mode) => [mode, []]));
  try {
    for (const mode of modes) {
      services[mode] = await Service.start(mode, framework, node);
      await services[mode].load(WARM_UP);
    }
    for (let slice = 0; slice < SLICES; slice++) {
      for (let i = 0; i < modes.length; i++) {
        const mode = modes[(i + slice) % modes.length];
        slices[mode].push(await services[mode].measure());
      }
    }
  } finally {
    await Promise.all(Object.values(services).map((service) => service.stop()));
  }
  for (const mode of modes) results[mode].push(quickest(slices[mode]));
}

/** The baseline is the mean of both processes of a set without a profiler: it varies less than either. */
function rowsOf(framework, results) {
  const baselines = results.off.map((micros, set) => (micros + results.again[set]) / 2);
  const added = (mode) =>
    results[mode].map((micros, set) => micros - (mode === 'again' ? results.off : baselines)[set]);
  const limitOf = (mode) => {
    // By chance, it may have used less than no profiler.
    const datadog =
      results.datadog === undefined ? Infinity : Math.max(0, median(added('datadog')));
    return Math.min(LIMITS[mode], Number(datadog.toFixed(1)));
  };
  return Object.keys(results).map((mode) => ({
    cells: [
      `${framework}: ${BEFORE_NAMES[mode] ?? NAMES[mode]}`,
      show(results[mode]),
      mode === 'off' ? '' : show(added(mode)),
    ],
    target: mode in LIMITS ? atMost(median(added(mode)), limitOf(mode), 'µs more') : undefined,
  }));
}

export const bench = {
  title: 'HTTP load',
  about:
    `CPU of a service per request: \`node:http\`, express and fastify with OpenTelemetry's SDK, ` +
    'their instrumentations and a span of its own in each request. Every variant is a process that ' +
    `is bound to one processor, the load by ${CONNECTIONS} connections to another, where it never ` +
    'sleeps: to wake it would be work of the service. The quickest ' +
    `third of ${SLICES} slices of ${REQUESTS} requests, taken in turns, counts. Figures are medians of the ` +
    'sets of processes, and of the differences to the mean of both without a profiler in their set. ' +
    'With ours the tracer provider is wrapped, so the price of the labels is in ' +
    'it; Datadog and Pyroscope are given labels by their own calls. All run with ' +
    `\`${FLAGS.join(' ')}\`: else chance adds up to 10 µs. The ` +
    'targets are for what is above no profiler, and that it is no more than ' +
    "Datadog's.",
  rounds: 4,
  unable: () =>
    os.availableParallelism() < 2 ? 'the load needs a processor of its own' : undefined,
  async run({ rounds, node, peers }) {
    const [off, again, ...others] = loadModes(peers);
    const before = BEFORE === undefined ? [] : Object.keys(BEFORE_NAMES);
    const modes = [off, again, 'labels', ...others, ...before];
    const rows = [];
    execFileSync('taskset', ['-apc', LOAD_CPU, String(process.pid)], { stdio: 'ignore' });
    for (const framework of FRAMEWORKS) {
      const results = Object.fromEntries(modes.map((mode) => [mode, []]));
      for (let round = 0; round < rounds; round++) {
        await measureSet(modes, framework, node, results);
      }
      rows.push(...rowsOf(framework, results));
    }
    return { columns: ['', 'µs of CPU a request', 'more than no profiler'], rows };
  },
};

void runAsProgram(import.meta.url);
