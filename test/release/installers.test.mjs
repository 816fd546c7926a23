/** Installs the tarball by npm, pnpm, Yarn and Bun into fresh applications, with every supported Node.js where the tool runs there. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { installNode } from '../../scripts/lib/nodes.mjs';
import { nodes } from '../../scripts/lib/prebuild.mjs';
import { ROOT } from '../support/run-child.mjs';
import { publishedTarball } from './published.mjs';
import { environmentOf, installTools, registry } from './tools.mjs';

const probe = path.join(ROOT, 'test', 'package', 'fixtures', 'probe.cjs');
const PROGRAM = `require(${JSON.stringify(probe)}).probe(require('otelpyroscope')).then(console.log);`;

/**
 * name: of the row. tool: its package in `tools.mjs`. script: its program, if it needs Node.js. since:
 * the first Node.js that the tool supports. files: its settings. run: what Node.js needs before the program's name.
 */
const INSTALLERS = [
  { name: 'npm 11', tool: 'npm-11', script: 'bin/npm-cli.js', args: ['install', '--no-audit'] },
  {
    name: 'npm 12',
    tool: 'npm-12',
    script: 'bin/npm-cli.js',
    args: ['install', '--no-audit'],
    since: 22,
  },
  {
    name: 'npm 12 --ignore-scripts',
    tool: 'npm-12',
    script: 'bin/npm-cli.js',
    args: ['install', '--no-audit', '--ignore-scripts'],
    since: 22,
  },
  { name: 'pnpm 12', tool: 'pnpm', args: ['install'] },
  {
    name: 'Yarn 4, Plug’n’Play',
    tool: 'yarn-4',
    script: 'bin/yarn.js',
    args: ['install'],
    files: { '.yarnrc.yml': yarnSettings('pnp') },
    run: ['--require', './.pnp.cjs'],
  },
  {
    name: 'Yarn 4, node_modules',
    tool: 'yarn-4',
    script: 'bin/yarn.js',
    args: ['install'],
    files: { '.yarnrc.yml': yarnSettings('node-modules') },
  },
  { name: 'Yarn 1', tool: 'yarn-1', script: 'bin/yarn.js', args: ['install'] },
  { name: 'Bun', tool: 'bun', args: ['install'] },
];
/** Words that a tool prints beside our name if it complains about the package. */
const COMPLAINT =
  /warn|error|ignor|block|script|peer|deprecat|untrusted|gyp|build|YN00(02|04|05|07|60|86)/i;

function yarnSettings(linker) {
  const settings = [`nodeLinker: ${linker}`, 'enableTelemetry: false'];
  // A lock file is none of what a fresh application has, which Yarn refuses on CI.
  return `${[...settings, 'enableImmutableInstalls: false', `npmRegistryServer: ${registry()}`].join('\n')}\n`;
}

describe('the tarball in a fresh application', function () {
  this.timeout(600_000);
  let directory;
  let tarball;
  let tools;

  before(function () {
    directory = mkdtempSync(path.join(os.tmpdir(), 'installers-'));
    tarball = publishedTarball().file;
    tools = installTools();
  });

  after(function () {
    rmSync(directory, { recursive: true });
  });

  /** Returns a fresh application, and a function that runs a program in it and returns its output. */
  function applicationFor(node, files = {}) {
    const application = mkdtempSync(path.join(directory, 'application-'));
    const dependencies = { '@opentelemetry/api': '~1.9.0', otelpyroscope: `file:${tarball}` };
    const manifest = { name: 'application', private: true, dependencies };
    const all = { 'package.json': JSON.stringify(manifest), 'app.cjs': PROGRAM, ...files };
    for (const [name, text] of Object.entries(all)) {
      writeFileSync(path.join(application, name), text);
    }
    const home = path.join(application, 'home');
    mkdirSync(home);
    const run = (command, args) => {
      const env = environmentOf(path.dirname(node), home);
      const options = { cwd: application, encoding: 'utf8', env, timeout: 300_000 };
      const { status, stdout, stderr } = spawnSync(command, args, options);
      const output = stdout + stderr;
      assert.equal(status, 0, `${command} ${args.join(' ')}:\n${output}`);
      return output;
    };
    return run;
  }

  for (const { name, tool, script, args, since = 20, files, run: before = [] } of INSTALLERS) {
    for (const { version } of nodes) {
      const major = Number(version.split('.')[0]);
      if (major < since) continue;
      it(`is installed by ${name} without a complaint, and gives a labelled profile, on Node ${major}`, function () {
        const node = path.join(installNode(version), 'bin', 'node');
        const run = applicationFor(node, files);
        const program = path.join(tools, tool, script ?? '');
        const output =
          script === undefined
            ? run(path.join(tools, '.bin', tool), args)
            : run(node, [program, ...args]);
        const complaints = output
          .split('\n')
          .filter((line) => line.includes('otelpyroscope') && COMPLAINT.test(line));
        assert.deepEqual(complaints, [], output);
        assert.equal(run(node, [...before, 'app.cjs']), 'labelled profile\n');
      });
    }
  }
});
