/** Installs the tarball by npm into empty directories on a machine without compilers, for every supported Node. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { binaryPath, buildNative, describeNode } from '../../scripts/native-build.mjs';
import { installNode } from '../../scripts/nodes.mjs';
import { nodes } from '../../scripts/prebuild.mjs';
import { ROOT } from '../support/run-child.mjs';
import { DEPENDENCIES, packPackage, PEERS } from '../support/tarball.mjs';

const probe = path.join(ROOT, 'test', 'package', 'fixtures', 'probe.cjs');
const program = `const api = require('otelpyroscope');
  require(${JSON.stringify(probe)}).probe(api).then(console.log, ({ code, message }) => console.log(code + ': ' + message));`;
const traces = `const { trace } = require('@opentelemetry/api');
  const { BasicTracerProvider } = require(${JSON.stringify(
    path.join(ROOT, 'node_modules', '@opentelemetry', 'sdk-trace-base'),
  )});
  const { TracerProvider } = require('otelpyroscope');
  const span = new TracerProvider(new BasicTracerProvider()).getTracer('t').startSpan('work');
  console.log(span.attributes['pyroscope.profile.id'] === span.spanContext().spanId);`;

const PROFILE = { stdout: 'labelled profile\n', stderr: '' };
/** A version of Node that the package has no binary for. */
const UNKNOWN = '25';

describe('npm install of the tarball, without a compiler', function () {
  this.timeout(600_000);
  let directory;
  let tarball;

  before(function () {
    directory = mkdtempSync(path.join(os.tmpdir(), 'install-'));
    for (const { version } of nodes) {
      const node = describeNode(installNode(version.split('.')[0]));
      // Those of `npm run prebuilds`, where it was run before.
      if (!existsSync(binaryPath(node))) buildNative(node, { quiet: true });
    }
    tarball = packPackage(directory).file;
  });

  after(function () {
    rmSync(directory, { recursive: true });
  });

  /** An empty application with a PATH on which are Node, npm and a shell, and no compiler. */
  function applicationFor(node) {
    const application = mkdtempSync(path.join(directory, `node-${node.abi}-`));
    const bin = path.join(application, 'bin');
    mkdirSync(bin);
    for (const [name, target] of [
      ['node', node.execPath],
      ['npm', spawnSync('which', ['npm'], { encoding: 'utf8' }).stdout.trim()],
      ['sh', '/bin/sh'],
    ]) {
      symlinkSync(target, path.join(bin, name));
    }
    writeFileSync(path.join(application, 'package.json'), '{ "private": true }\n');
    const env = { PATH: bin, HOME: process.env.HOME };
    for (const name of ['SSL_CERT_FILE', 'NODE_EXTRA_CA_CERTS', 'npm_config_registry']) {
      if (process.env[name] !== undefined) env[name] = process.env[name];
    }
    const run = (command, args) => {
      const options = { cwd: application, encoding: 'utf8', env, timeout: 120_000 };
      const { status, stdout, stderr } = spawnSync(path.join(bin, command), args, options);
      assert.equal(status, 0, `${command} ${args.join(' ')}:\n${stdout}${stderr}`);
      return { stdout, stderr };
    };
    return { application, run };
  }

  function install({ run }, ...flags) {
    const quiet = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];
    return run('npm', ['install', ...quiet, ...flags, tarball]);
  }

  for (const { version } of nodes) {
    const major = version.split('.')[0];
    it(`gives a labelled profile on Node ${major}`, function () {
      const target = applicationFor(describeNode(installNode(major)));
      install(target);
      assert.deepEqual(target.run('node', ['-e', program]), PROFILE);
    });
  }

  it('gives one with --ignore-scripts', function () {
    const target = applicationFor(describeNode());
    install(target, '--ignore-scripts');
    assert.deepEqual(target.run('node', ['-e', program]), PROFILE);
  });

  it('succeeds on a Node without a binary, says so once, and leaves traces whole', function () {
    const node = describeNode(installNode(UNKNOWN));
    assert.ok(!nodes.some(({ abi }) => abi === node.abi));
    const target = applicationFor(node);
    install(target, '--ignore-scripts');
    // Where somebody has tried this version in the checkout, the tarball has a binary for it.
    const installed = path.join(target.application, 'node_modules', 'otelpyroscope');
    rmSync(binaryPath(node, installed), { force: true });
    // npm shows the output of scripts only when it is asked to.
    const { stdout, stderr } = target.run('npm', ['rebuild', '--foreground-scripts']);
    const own = `${stdout}${stderr}`.split('\n').filter((line) => /^otelpyroscope: /.test(line));
    assert.equal(own.length, 1, stdout + stderr);
    assert.match(
      own[0],
      /could not be built, so CpuProfiler\.start\(\) will fail with ERR_NATIVE_MISSING; labels work/,
    );
    const used = target.run('node', ['-e', program]);
    assert.match(
      used.stdout,
      new RegExp(`^ERR_NATIVE_MISSING: no native binary for Node .* \\(ABI ${node.abi}, glibc\\)`),
    );
    assert.equal(used.stdout.split('\n').length, 2, used.stdout);
    assert.deepEqual(target.run('node', ['-e', traces]), { stdout: 'true\n', stderr: '' });
  });

  it('needs no more than the package says', function () {
    const target = applicationFor(describeNode());
    install(target, '--ignore-scripts');
    const lock = path.join(target.application, 'node_modules', '.package-lock.json');
    const { packages } = JSON.parse(readFileSync(lock, 'utf8'));
    const expected = new Set([...PEERS, ...DEPENDENCIES, 'otelpyroscope']);
    // A set goes on over what is added to it: the dependencies' own.
    for (const name of expected) {
      const { dependencies = {} } = packages[`node_modules/${name}`];
      for (const dependency of Object.keys(dependencies)) expected.add(dependency);
    }
    assert.deepEqual(
      Object.keys(packages)
        .map((name) => name.replace('node_modules/', ''))
        .sort(),
      [...expected].sort(),
    );
  });
});
