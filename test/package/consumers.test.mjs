/** Checks the packed tarball in applications of every kind: module systems, processes, installers, bundlers, jest. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { ROOT } from '../support/run-child.mjs';
import { Application, packPackage } from '../support/tarball.mjs';
import {
  applications,
  importIt,
  probe,
  probeByImport,
  probeByRequire,
  requireIt,
} from './applications.mjs';

const require = createRequire(import.meta.url);
describe('the package in an application', function () {
  this.timeout(60_000);
  let directory;
  let packed;
  let application;

  before(function () {
    directory = mkdtempSync(path.join(os.tmpdir(), 'tarball-'));
    packed = packPackage(directory);
  });

  beforeEach(function () {
    application = new Application({ tarball: packed.file });
  });

  afterEach(function () {
    application.remove();
  });

  after(function () {
    rmSync(directory, { recursive: true });
  });

  function write(files) {
    for (const [name, text] of Object.entries(files)) {
      writeFileSync(path.join(application.directory, name), text);
    }
  }

  for (const { name, files, flags = [] } of applications) {
    it(`gives a labelled profile: ${name}`, function () {
      write(files);
      const { stdout, stderr } = application.node([...flags, Object.keys(files)[0]]);
      assert.deepEqual({ stdout, stderr }, { stdout: 'labelled profile\n', stderr: '' });
    });
  }

  it("gives a labelled profile through pnpm's symbolic links", function () {
    application.remove();
    application = new Application({ tarball: packed.file, layout: 'store' });
    write({
      'app.cjs': `${requireIt}\n${probeByRequire}`,
      'app.mjs': `${importIt}\n${probeByImport}`,
    });
    for (const file of ['app.cjs', 'app.mjs']) {
      assert.equal(application.node([file]).stdout, 'labelled profile\n');
    }
  });

  describe('that is bundled', function () {
    // The sources of the bundles, which run in a folder without them.
    const entry = `
      const { CpuProfiler, withLabels, getLabels, TracerProvider } = require('otelpyroscope');
      ${probeByRequire.replace('require(', 'process.mainModule.require(').replace('(api)', '({ CpuProfiler, withLabels })')}
      console.log(JSON.stringify(withLabels({ a: 'b' }, getLabels)), typeof TracerProvider);`;

    async function esbuild(external) {
      await require('esbuild').build({
        absWorkingDir: application.directory,
        entryPoints: ['app.cjs'],
        outfile: 'dist/bundle.cjs',
        bundle: true,
        platform: 'node',
        external: external ? ['otelpyroscope'] : [],
        logLevel: 'silent',
      });
    }

    async function webpack(external) {
      const compiler = require('webpack')({
        context: application.directory,
        entry: './app.cjs',
        output: { path: path.join(application.directory, 'dist'), filename: 'bundle.cjs' },
        target: 'node',
        mode: 'development',
        devtool: false,
        externals: external ? { otelpyroscope: 'commonjs otelpyroscope' } : {},
      });
      const stats = await new Promise((resolve, reject) => {
        compiler.run((error, result) => (error ? reject(error) : resolve(result)));
      });
      assert.equal(stats.hasErrors(), false, stats.toString('errors-only'));
    }

    for (const bundle of [esbuild, webpack]) {
      it(`works if ${bundle.name} keeps it external`, async function () {
        write({ 'app.cjs': entry });
        await bundle(true);
        const { stdout } = application.node(['dist/bundle.cjs']);
        assert.equal(stdout, '{"a":"b"} function\nlabelled profile\n');
      });

      it(`names the remedy if ${bundle.name} bundles it, and its labels work`, async function () {
        write({ 'app.cjs': entry });
        await bundle(false);
        const { stdout } = application.node(['dist/bundle.cjs']);
        assert.match(stdout, /^\{"a":"b"\} function\nno native binary for Node /);
        assert.match(stdout, /has been bundled into .*: keep it external \(esbuild: .*webpack: /);
      });
    }
  });

  it('gives a labelled profile in every file of a jest run, each with globals of its own', function () {
    const files = ['one', 'two', 'three'].map((name) => `${name}.test.js`);
    const text = `${requireIt}
      const { probe } = require(${probe});
      test('profile', async () => { expect(await probe(api)).toBe('labelled profile'); }, 60_000);`;
    write(Object.fromEntries(files.map((file) => [file, text])));
    write({ 'jest.config.json': JSON.stringify({ testEnvironment: 'node', transform: {} }) });
    const jest = require.resolve('jest/bin/jest');
    const args = [jest, '--runInBand', '--config=jest.config.json', '--json', '--no-cache'];
    const { numPassedTests, numFailedTests } = JSON.parse(application.node(args).stdout);
    assert.deepEqual({ numPassedTests, numFailedTests }, { numPassedTests: 3, numFailedTests: 0 });
  });

  it('names the remedy once if there is no binary, and its labels work', function () {
    rmSync(path.join(application.installed, 'prebuilds'), { recursive: true });
    write({
      'app.cjs': `${requireIt}\n${probeByRequire}
        console.log(JSON.stringify(api.withLabels({ a: 'b' }, api.getLabels)));`,
    });
    const { stdout, stderr } = application.node(['app.cjs']);
    assert.equal(stderr, '');
    assert.match(
      stdout,
      /^\{"a":"b"\}\nno native binary for Node .* \(ABI \d+, (glibc|musl)\): .*Labels and spans work without it\. To compile it, .*: npx otelpyroscope build\n$/,
    );
  });

  for (const [platform, arch] of [
    ['darwin', 'arm64'],
    ['win32', 'x64'],
    ['linux', 'ia32'],
  ]) {
    it(`reports that there are no profiles on ${platform}-${arch}, and its labels work`, function () {
      const unsupported = path.join(ROOT, 'test', 'release', 'fixtures', 'unsupported.cjs');
      write({
        // As it is there, as far as this package looks.
        'pretend.cjs': `Object.defineProperties(process, {
          platform: { value: '${platform}' }, arch: { value: '${arch}' } });`,
        'app.cjs': readFileSync(unsupported, 'utf8'),
      });
      const { stdout, stderr } = application.node(['--require', './pretend.cjs', 'app.cjs']);
      assert.deepEqual({ stdout, stderr }, { stdout: '', stderr: '' });
    });
  }

  it('has the files that users need, and no others', function () {
    const allowed =
      /^(package\.json|README\.md|CHANGELOG\.md|LICENSE|native\/addon\.gypi|CMakeLists\.txt|lib\/.+\.(js|mjs|d\.ts|d\.mts)|lib\/viewer\/(LICENSES\.txt|icon\.svg|index\.html|viewer\.css)|native\/\w+\/\w+\.(cc|h)|prebuilds\/linux-(x64|arm64)\/otelpyroscope\.abi\d+\.(glibc|musl)\.node|scripts\/(build-native|lib\/native-build)\.mjs)$/;
    assert.deepEqual(
      packed.paths.filter((file) => !allowed.test(file)),
      [],
    );
    const binaries = readdirSync(path.join(ROOT, 'prebuilds'), { recursive: true });
    assert.equal(
      packed.paths.filter((file) => file.endsWith('.node')).length,
      binaries.filter((file) => file.endsWith('.node')).length,
    );
  });
});
