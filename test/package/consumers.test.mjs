/** Checks the packed tarball in applications of every kind: module systems, processes, installers, bundlers, jest. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { ROOT } from '../support/run-child.mjs';
import { Application, packPackage } from '../support/tarball.mjs';

const require = createRequire(import.meta.url);
const probe = JSON.stringify(path.join(ROOT, 'test', 'package', 'fixtures', 'probe.cjs'));

const requireIt = `const api = require('otelpyroscope');`;
const importIt = `import * as api from 'otelpyroscope';`;
const tell = `.then(console.log, (error) => { console.log(error.message); })`;
const probeByRequire = `require(${probe}).probe(api)${tell}`;
const probeByImport = `import probe from ${probe};\nprobe.probe(api)${tell}`;

/** The application's files and how it is run; every one prints `labelled profile`. */
const applications = [
  { name: 'require', files: { 'app.cjs': `${requireIt}\n${probeByRequire}` } },
  { name: 'import', files: { 'app.mjs': `${importIt}\n${probeByImport}` } },
  {
    name: 'import() in CommonJS',
    files: { 'app.cjs': `import('otelpyroscope').then((api) => ${probeByRequire});` },
  },
  {
    name: 'require and import together',
    files: {
      'app.mjs': `
        import { createRequire } from 'node:module';
        import { withLabels } from 'otelpyroscope';
        const { CpuProfiler } = createRequire(import.meta.url)('otelpyroscope');
        const api = { CpuProfiler, withLabels };
        ${probeByImport}`,
    },
  },
  {
    name: '--require',
    flags: ['--require', 'otelpyroscope'],
    files: { 'app.cjs': `${requireIt}\n${probeByRequire}` },
  },
  {
    name: '--import',
    flags: ['--import', 'otelpyroscope'],
    files: { 'app.mjs': `${importIt}\n${probeByImport}` },
  },
  ...['--require', '--import'].map((flag) => ({
    name: `${flag} of register`,
    flags: [flag, 'otelpyroscope/register'],
    files: { 'app.cjs': `${requireIt}\n${probeByRequire}` },
  })),
  {
    name: 'worker',
    files: {
      'app.cjs': `
        const { Worker } = require('node:worker_threads');
        new Worker('./work.cjs').on('message', console.log);`,
      'work.cjs': `${requireIt}
        require(${probe}).probe(api).then((text) => require('node:worker_threads').parentPort.postMessage(text));`,
    },
  },
  {
    name: 'process of a cluster',
    files: {
      'app.cjs': `
        const cluster = require('node:cluster');
        ${requireIt}
        if (cluster.isPrimary) {
          new api.CpuProfiler().start(); // the primary is profiled, too
          cluster.fork().on('message', (text) => console.log(text));
          cluster.on('exit', () => process.exit());
        } else {
          require(${probe}).probe(api).then((text) => process.send(text, () => process.disconnect()));
        }`,
    },
  },
  {
    name: 'script that a process manager loads into a fork',
    files: {
      'app.cjs': `
        require('node:child_process')
          .fork('./container.cjs', { env: { ...process.env, pm_exec_path: require.resolve('./service.cjs') } })
          .on('message', (text) => console.log(text));`,
      // As pm2 does: the service is not the process's main script.
      'container.cjs': `
        process.argv[1] = process.env.pm_exec_path;
        require('node:module')._load(process.env.pm_exec_path, null, true);`,
      'service.cjs': `${requireIt}
        require(${probe}).probe(api).then((text) => process.send(text, () => process.disconnect()));`,
    },
  },
];

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

  it("gives one through pnpm's symbolic links", function () {
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
    // What the bundles are made of; they run where nothing of it is.
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
      it(`works by ${bundle.name} where it is external`, async function () {
        write({ 'app.cjs': entry });
        await bundle(true);
        const { stdout } = application.node(['dist/bundle.cjs']);
        assert.equal(stdout, '{"a":"b"} function\nlabelled profile\n');
      });

      it(`says what to do by ${bundle.name} where it is not, and labels work`, async function () {
        write({ 'app.cjs': entry });
        await bundle(false);
        const { stdout } = application.node(['dist/bundle.cjs']);
        assert.match(stdout, /^\{"a":"b"\} function\nno native binary for Node /);
        assert.match(stdout, /has been bundled into .*: keep it external \(esbuild: .*webpack: /);
      });
    }
  });

  it('gives one in every file of a jest run, each with globals of its own', function () {
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

  it('says what to do where there is no binary, once, and labels work', function () {
    rmSync(path.join(application.installed, 'prebuilds'), { recursive: true });
    write({
      'app.cjs': `${requireIt}\n${probeByRequire}
        console.log(JSON.stringify(api.withLabels({ a: 'b' }, api.getLabels)));`,
    });
    const { stdout, stderr } = application.node(['app.cjs']);
    assert.equal(stderr, '');
    assert.match(
      stdout,
      /^\{"a":"b"\}\nno native binary for Node .* \(ABI \d+, glibc\): .*Labels and spans work without it\. To build it, .*: npm rebuild otelpyroscope --foreground-scripts\n$/,
    );
  });

  it('brings what users need, and nothing else', function () {
    const allowed =
      /^(package\.json|README\.md|CHANGELOG\.md|LICENSE|binding\.gyp|CMakeLists\.txt|lib\/.+\.(js|mjs|d\.ts|d\.mts)|lib\/viewer\/(LICENSES\.txt|icon\.svg|index\.html|viewer\.css)|native\/[\w.]+\.(cc|h)|prebuilds\/linux-(x64|arm64)\/otelpyroscope\.abi\d+\.(glibc|musl)\.node|scripts\/(install|build-native|native-build)\.mjs)$/;
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
