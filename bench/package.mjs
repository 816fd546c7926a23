/** Measures the size of the packages with their dependencies, and the time of their installation. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { packPackage } from '../test/support/tarball.mjs';
import { runAsProgram } from './as-program.mjs';
import { inTurns, NAMES, show } from './measure.mjs';
import { peerVersions, plainEnvironment } from './peers.mjs';

const MIB = 1 << 20;
const FLAGS = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];

function treeSize(directory) {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => statSync(path.join(entry.parentPath ?? entry.path, entry.name)).size)
    .reduce((sum, size) => sum + size, 0);
}

/** Runs npm in a directory; returns the time that bash reports, in seconds. */
function npmInstall(directory, spec) {
  const script = 'TIMEFORMAT="%R %U %S"; { time npm "$@" >/dev/null 2>&1; } 2>&1';
  const text = execFileSync('bash', ['-c', script, 'npm', 'install', spec, ...FLAGS], {
    cwd: directory,
    env: plainEnvironment(),
    encoding: 'utf8',
  });
  const [real, user, system] = text.trim().split('\n').at(-1).split(' ').map(Number);
  return { real, cpu: user + system };
}

/** Installs a package into an application that already has OpenTelemetry's API. */
function install(spec) {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'install-'));
  try {
    writeFileSync(path.join(directory, 'package.json'), '{ "private": true }');
    npmInstall(directory, '@opentelemetry/api@1.9');
    const modules = path.join(directory, 'node_modules');
    const before = treeSize(modules);
    const times = npmInstall(directory, spec);
    const bytes = treeSize(modules) - before;
    if (bytes <= 0) throw new Error(`${spec} was not installed`);
    return { ...times, bytes };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

export const bench = {
  title: 'Package',
  about:
    'npm installs each into an application that has `@opentelemetry/api`, from a warm cache: the ' +
    "clock's time and CPU of npm, and what node_modules grows by.",
  rounds: 3,
  unable: ({ version }) =>
    version === process.versions.node
      ? undefined
      : 'it measures npm, on the Node.js that runs this',
  async run({ rounds, peers }) {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'packed-'));
    try {
      const { file, paths } = packPackage(directory);
      const specs = { ours: file };
      if (peers) {
        const versions = peerVersions();
        specs.datadog = `@datadog/pprof@${versions['@datadog/pprof']}`;
        specs.pyroscope = `@pyroscope/nodejs@${versions['@pyroscope/nodejs']}`;
      }
      for (const spec of Object.values(specs)) install(spec);
      const results = await inTurns(
        Object.fromEntries(
          Object.entries(specs).map(([mode, spec]) => [mode, async () => install(spec)]),
        ),
        rounds,
      );
      const of = (mode, key) => results[mode].map((found) => found[key]);
      const binaries = paths.filter((name) => name.endsWith('.node')).length;
      return {
        columns: ['', 'installed, MiB', 'time, s', 'CPU, s'],
        rows: Object.keys(specs).map((mode) => ({
          cells: [
            NAMES[mode],
            (of(mode, 'bytes')[0] / MIB).toFixed(1),
            show(of(mode, 'real')),
            show(of(mode, 'cpu')),
          ],
        })),
        notes: [`Ours as it is packed here, with ${binaries} binaries; 16 are published.`],
      };
    } finally {
      rmSync(directory, { recursive: true });
    }
  },
};

void runAsProgram(import.meta.url);
