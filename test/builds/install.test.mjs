/** Checks what the package's install script does in a dependent: builds once, and never breaks an install. */
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
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { binaryPath, describeNode, packageRoot } from '../../scripts/lib/native-build.mjs';

const node = describeNode();

describe('the install script of a dependency', function () {
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

  function install(args = [], environment = {}) {
    return spawnSync(process.execPath, [...args, path.join(installed, 'scripts', 'install.mjs')], {
      cwd: installed,
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

  it('warns and succeeds if nothing can be compiled', function () {
    const { status, stderr } = install([], { CXX: 'false', CC: 'false' });
    assert.equal(status, 0);
    const said = stderr.split('\n').filter((line) => line.startsWith('otelpyroscope:'));
    assert.equal(said.length, 1, stderr);
    assert.match(said[0], /could not be built.*ERR_NATIVE_MISSING.*labels work without it/);
    assert.equal(useProfiler(), 'ERR_NATIVE_MISSING {"a":"b"}\n');
  });

  it('does nothing on other platforms', function () {
    for (const platform of ['darwin', 'win32']) {
      const preload = path.join(application, `${platform}.cjs`);
      writeFileSync(
        preload,
        `Object.defineProperty(process, 'platform', { value: '${platform}' });\n`,
      );
      const { status, stdout, stderr } = install(['--require', preload]);
      assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' });
    }
    assert.equal(existsSync(path.join(installed, 'prebuilds')), false);
  });

  it('compiles the binary if there is none', function () {
    const { status, stdout, stderr } = install();
    assert.equal(status, 0, stdout + stderr);
    assert.ok(existsSync(binaryPath(node, installed)), stdout + stderr);
    assert.equal(useProfiler(), 'started {"a":"b"}\n');
  });

  it('does not replace an existing binary', function () {
    const { status, stdout, stderr } = install([], { CXX: 'false', CC: 'false' });
    assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' });
  });
});
