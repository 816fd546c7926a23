/** What an outage of Pyroscope costs the service: latencies with the server up, down and silent; `node test/bench/upload-outage.mjs`. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { availableParallelism, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import autocannon from 'autocannon';
import { PyroscopeServer } from '../support/pyroscope-server.mjs';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 3);
const SECONDS = Number(process.env.BENCH_SECONDS ?? 5);
const REQUESTS_PER_SECOND = 100;
const SERVICE = fileURLToPath(new URL('../../examples/zero-code/service.cjs', import.meta.url));
const REPORT = fileURLToPath(new URL('../../docs/benchmarks.md', import.meta.url));
const TITLE = '## An outage of Pyroscope';

const up = await PyroscopeServer.start();
const silent = createServer((socket) => socket.on('error', () => {}).resume());
await once(silent.listen(0, '127.0.0.1'), 'listening');

// The first has no agent: the baseline.
const cases = {
  'no agent': '',
  'server up': up.url,
  'server down': 'http://127.0.0.1:1024',
  'server silent': `http://127.0.0.1:${silent.address().port}`,
};
const results = Object.fromEntries(Object.keys(cases).map((name) => [name, []]));
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, address] of Object.entries(cases)) results[name].push(await measure(address));
}
up.close();
silent.close();

const busy = loadavg()[0] > availableParallelism();

const report = [
  TITLE,
  '',
  `\`node test/bench/upload-outage.mjs\`: the demo's shop, ${REQUESTS_PER_SECOND} requests a second to ` +
    `\`/products\` for ${SECONDS} s, a profile every second; median of ${ROUNDS} rounds, the cases in turn. ` +
    `Node.js ${process.versions.node}, ${new Date().toISOString().slice(0, 10)}.` +
    (busy ? ' The machine was busy with other work: small differences are noise.' : ''),
  '',
  '| Pyroscope | p50 ms | p99 ms | errors |',
  '| --- | --- | --- | --- |',
  ...Object.entries(results).map(
    ([name, rounds]) =>
      `| ${name} | ${median(rounds, 'p50')} | ${median(rounds, 'p99')} | ${median(rounds, 'errors')} |`,
  ),
  '',
].join('\n');
console.log(report);
const before = existsSync(REPORT) ? readFileSync(REPORT, 'utf8') : '# Benchmarks\n\n';
const others = before.split(/^(?=## )/m).filter((section) => !section.startsWith(TITLE));
mkdirSync(new URL('../../docs/', import.meta.url), { recursive: true });
writeFileSync(REPORT, `${others.join('').trimEnd()}\n\n${report}`);

async function measure(address) {
  const child = fork(SERVICE, {
    execArgv: ['--require', 'otelpyroscope/register'],
    env: {
      ...process.env,
      PORT: '0',
      PYROSCOPE_SERVER_ADDRESS: address,
      PYROSCOPE_APPLICATION_NAME: 'shop',
      PYROSCOPE_FLUSH_INTERVAL_MS: '1000',
    },
  });
  const [{ port }] = await once(child, 'message');
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

function median(rounds, key) {
  const values = rounds.map((round) => round[key]).sort((a, b) => a - b);
  return values[values.length >> 1];
}
