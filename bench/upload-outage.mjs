/** Measures a service during an outage of Pyroscope: latencies with the server up, down and silent. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import autocannon from 'autocannon';
import { PyroscopeServer } from '../test/support/pyroscope-server.mjs';
import { runAsProgram } from './as-program.mjs';
import { inTurns, messageFrom, show } from './measure.mjs';

const SECONDS = 4;
const REQUESTS_PER_SECOND = 100;
const SERVICE = fileURLToPath(new URL('../examples/zero-code/service.cjs', import.meta.url));

async function measure(address, node) {
  const child = fork(SERVICE, {
    execPath: node.execPath,
    execArgv: ['--require', 'otelpyroscope/register'],
    // stderr would have warnings about the outage.
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: {
      ...process.env,
      PORT: '0',
      PYROSCOPE_SERVER_ADDRESS: address,
      PYROSCOPE_APPLICATION_NAME: 'shop',
      PYROSCOPE_FLUSH_INTERVAL_MS: '1000',
    },
  });
  const { port } = await messageFrom(child);
  const url = `http://127.0.0.1:${port}/products?q=amber`;
  await autocannon({ url, duration: 1, connections: 4 });
  const { latency, errors } = await autocannon({
    url,
    duration: SECONDS,
    connections: 4,
    overallRate: REQUESTS_PER_SECOND,
  });
  child.kill('SIGKILL');
  await once(child, 'exit');
  return { p50: latency.p50, p99: latency.p99, errors };
}

export const bench = {
  title: 'An outage of Pyroscope',
  about:
    `the demo's shop, ${REQUESTS_PER_SECOND} requests a second to \`/products\` for ${SECONDS} s, a ` +
    'profile every second. Latencies are times of the clock: of a machine that does nothing else.',
  rounds: 2,
  async run({ rounds, node }) {
    const up = await PyroscopeServer.start();
    const silent = createServer((socket) => socket.on('error', () => {}).resume());
    await once(silent.listen(0, '127.0.0.1'), 'listening');
    // The first, without an agent, is the baseline.
    const cases = {
      'no agent': '',
      'server up': up.url,
      'server down': 'http://127.0.0.1:1024',
      'server silent': `http://127.0.0.1:${silent.address().port}`,
    };
    try {
      const one = (address) => () => measure(address, node);
      const results = await inTurns(
        Object.fromEntries(Object.entries(cases).map(([name, address]) => [name, one(address)])),
        rounds,
      );
      const of = (name, key) =>
        show(
          results[name].map((found) => found[key]),
          0,
        );
      return {
        columns: ['Pyroscope', 'p50, ms', 'p99, ms', 'errors'],
        rows: Object.keys(cases).map((name) => ({
          cells: [name, of(name, 'p50'), of(name, 'p99'), of(name, 'errors')],
        })),
      };
    } finally {
      up.close();
      silent.close();
    }
  },
};

void runAsProgram(import.meta.url);
