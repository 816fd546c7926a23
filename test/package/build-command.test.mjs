/** `otelpyroscope build` in an application: where it puts the binary, and what the loader makes of it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { binaryPath, describeNode } from '../../scripts/lib/native-build.mjs';
import { Application, packPackage } from '../support/tarball.mjs';

const node = describeNode();
/** Stands in for node-gyp, which takes minutes: "builds" the checkout's binary. */
const NODE_GYP = `
  const { copyFileSync, existsSync, mkdirSync } = require('node:fs');
  if (!existsSync('binding.gyp') || !existsSync('native/addon/addon.cc')) process.exit(1);
  if (process.argv[2] === 'build') {
    mkdirSync('build/Release', { recursive: true });
    copyFileSync(process.env.BUILT, 'build/Release/otelpyroscope.node');
  }`;
const PROGRAM = `
  const { CpuProfiler } = require('otelpyroscope');
  const profiler = new CpuProfiler();
  try { profiler.start(); console.log('started'); } catch ({ code, message }) { console.log(code, message); }
  process.exit();`;

describe('otelpyroscope build, in an application', function () {
  this.timeout(60_000);
  let directory;
  let application;
  let own;

  before(function () {
    directory = mkdtempSync(path.join(os.tmpdir(), 'build-command-'));
    application = new Application({ tarball: packPackage(directory).file });
    own = path.join(application.installed, 'prebuilds');
    for (const name of ['temporary', 'caches']) mkdirSync(path.join(directory, name));
    writeFileSync(path.join(directory, 'node-gyp.cjs'), NODE_GYP);
  });

  beforeEach(function () {
    rmSync(own, { recursive: true, force: true });
  });

  after(function () {
    application.remove();
    rmSync(directory, { recursive: true });
  });

  function runIn(args, env = {}) {
    const { status, stdout, stderr } = spawnSync(process.execPath, args, {
      cwd: application.directory,
      encoding: 'utf8',
      env: {
        ...process.env,
        BUILT: binaryPath(node),
        npm_config_node_gyp: path.join(directory, 'node-gyp.cjs'),
        NODE_OPTIONS: '',
        TMPDIR: path.join(directory, 'temporary'),
        XDG_CACHE_HOME: path.join(directory, 'caches'),
        ...env,
      },
    });
    return { status, stdout, stderr };
  }
  const build = (args = [], env = {}) =>
    runIn([path.join(application.installed, 'lib', 'cli', 'main.js'), 'build', ...args], env);
  const start = () => runIn(['-e', PROGRAM]).stdout;

  it('puts the binary into the folder of the package, and leaves nothing else', function () {
    const file = binaryPath(node, application.installed);
    const stdout = `otelpyroscope: built ${file} for Node ${node.version}.\n`;
    assert.deepEqual(build(), { status: 0, stdout, stderr: '' });
    assert.equal(start(), 'started\n');
    assert.deepEqual(readdirSync(path.join(directory, 'temporary')), []);
    assert.equal(existsSync(path.join(application.installed, '.cache')), false);

    // A binary that exists is not compiled again, unless by --force.
    const there = `otelpyroscope: there is a binary for Node ${node.version}: ${file}\n`;
    const broken = { BUILT: '/nowhere' };
    assert.deepEqual(build([], broken), { status: 0, stdout: there, stderr: '' });
    assert.match(build(['--force'], broken).stderr, /node-gyp build failed/);
  });

  it('puts it into the cache if that folder cannot be written, and the loader finds it there', function () {
    // For root as well, who may write to every folder.
    writeFileSync(own, '');
    const { status, stdout, stderr } = build();
    assert.deepEqual({ status, stderr }, { status: 0, stderr: '' });
    const caches = path.join(directory, 'caches', 'otelpyroscope');
    assert.ok(stdout.startsWith(`otelpyroscope: built ${caches}${path.sep}`), stdout);
    assert.equal(start(), 'started\n');

    // Another user could have put it there.
    chmodSync(caches, 0o777);
    assert.ok(start().includes(`is not used, because other users can write to ${caches}`));
    assert.match(build().stderr, /: the binary cannot be used: .*other users can write to/);
    chmodSync(caches, 0o700);

    // It was compiled from other sources.
    appendFileSync(path.join(application.installed, 'native', 'base', 'clock.h'), '\n');
    assert.match(start(), new RegExp(`ERR_NATIVE_MISSING .*${caches}/\\S+ does not exist`));
  });

  it('fails with the reason if it cannot compile', function () {
    const { status, stderr } = build([], { BUILT: '/nowhere' });
    assert.equal(status, 1);
    assert.match(stderr, /^otelpyroscope: node-gyp build failed\.$/m);
    assert.deepEqual(readdirSync(path.join(directory, 'temporary')), []);
    assert.match(build(['now']).stderr, /^otelpyroscope: build takes no arguments\n/);
  });
});
