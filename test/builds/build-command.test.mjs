/** Compiles the binary by `otelpyroscope build` from the files that are published. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { binaryPath, describeNode, packageRoot } from '../../scripts/lib/native-build.mjs';

const node = describeNode();

describe('otelpyroscope build in an installed package', function () {
  this.timeout(180_000);
  let application;
  let installed;

  before(function () {
    // The files that npm would install, from those that it would publish.
    application = mkdtempSync(path.join(os.tmpdir(), 'application-'));
    const pack = ['pack', '--ignore-scripts', '--json', `--pack-destination=${application}`];
    const listing = execFileSync('npm', pack, { cwd: packageRoot, encoding: 'utf8' });
    const packed = JSON.parse(listing);
    const { filename } = Array.isArray(packed) ? packed[0] : Object.values(packed)[0];
    execFileSync('tar', ['-xzf', path.join(application, filename), '-C', application]);
    const modules = path.join(application, 'node_modules');
    mkdirSync(modules);
    installed = path.join(modules, 'otelpyroscope');
    renameSync(path.join(application, 'package'), installed);
    const { dependencies } = JSON.parse(readFileSync(path.join(installed, 'package.json'), 'utf8'));
    for (const name of [...Object.keys(dependencies), '@opentelemetry/api', 'node-gyp']) {
      mkdirSync(path.dirname(path.join(modules, name)), { recursive: true });
      symlinkSync(path.join(packageRoot, 'node_modules', name), path.join(modules, name));
    }
    // A published package may bring binaries; this is about one that does not.
    rmSync(path.join(installed, 'prebuilds'), { recursive: true, force: true });
  });

  after(function () {
    rmSync(application, { recursive: true });
  });

  function build(environment = {}) {
    const command = path.join(installed, 'lib', 'cli', 'main.js');
    return spawnSync(process.execPath, [command, 'build'], {
      cwd: application,
      encoding: 'utf8',
      env: { ...process.env, ...environment },
    });
  }

  function useProfiler() {
    const script = `
      const { CpuProfiler, withLabels, getLabels } = require('otelpyroscope');
      const profiler = new CpuProfiler();
      let code = 'started';
      try { profiler.start(); } catch (error) { code = error.code; }
      console.log(code, JSON.stringify(withLabels({ a: 'b' }, getLabels)));
      process.exit();`;
    return execFileSync(process.execPath, ['-e', script], { cwd: application, encoding: 'utf8' });
  }

  it('runs without TypeScript sources and tests', function () {
    assert.equal(existsSync(path.join(installed, 'src')), false);
    assert.equal(existsSync(path.join(installed, 'test')), false);
  });

  it('fails, names the reason, and labels work, if nothing can be compiled', function () {
    const { status, stdout, stderr } = build({ CXX: 'false', CC: 'false' });
    assert.equal(status, 1, stdout);
    const reported = stderr.split('\n').filter((line) => line.startsWith('otelpyroscope:'));
    assert.deepEqual(reported, ['otelpyroscope: node-gyp build failed.']);
    assert.equal(useProfiler(), 'ERR_NATIVE_MISSING {"a":"b"}\n');
  });

  it('compiles a binary that works', function () {
    const { status, stdout, stderr } = build();
    assert.equal(status, 0, stdout + stderr);
    assert.ok(existsSync(binaryPath(node, installed)), stdout + stderr);
    assert.equal(useProfiler(), 'started {"a":"b"}\n');
  });
});
