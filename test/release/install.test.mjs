/** Installs the tarball by npm into empty directories on a machine without compilers, for every supported Node. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describeNode } from '../../scripts/lib/native-build.mjs';
import { installNode } from '../../scripts/lib/nodes.mjs';
import { nodes } from '../../scripts/lib/prebuild.mjs';
import { ROOT } from '../support/run-child.mjs';
import { applications } from '../package/applications.mjs';
import { packagesOf, readmeBlock } from '../package/blocks.mjs';
import { onStack, readProfile } from '../support/read-profile.mjs';
import { DEPENDENCIES, PEERS } from '../support/tarball.mjs';
import { publishedTarball } from './published.mjs';

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
/** A request, for the README's first program, which has none. */
const request = `
  function burnRequest(span) {
    const begin = process.cpuUsage().user;
    while (process.cpuUsage().user - begin < 200_000);
    span.end();
  }
  provider.getTracer('readme').startActiveSpan('GET /cart', burnRequest);`;

const firstProfile = readmeBlock('Quick start', 'js');
const manifest = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
/** The version in the checkout, as a version published later is not tested. */
const versionOf = (name) => `@${manifest.devDependencies[name]}`;

const PROFILE = { stdout: 'labelled profile\n', stderr: '' };
/** A version of Node that the package has no binary for. */
const UNKNOWN = '25';

describe('npm install of the tarball, without a compiler', function () {
  this.timeout(1_800_000);
  let directory;
  let tarball;

  before(function () {
    directory = mkdtempSync(path.join(os.tmpdir(), 'install-'));
    tarball = publishedTarball().file;
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

  function install({ run }, ...more) {
    const quiet = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];
    return run('npm', ['install', ...quiet, ...more, tarball]);
  }

  for (const { version } of nodes) {
    const major = version.split('.')[0];
    describe(`on Node ${major}`, function () {
      let target;

      before(function () {
        target = applicationFor(describeNode(installNode(version)));
        install(target, ...packagesOf(firstProfile.code).map((name) => name + versionOf(name)));
      });

      for (const { name, files, flags = [] } of applications) {
        it(`gives a labelled profile: ${name}`, function () {
          for (const [file, text] of Object.entries(files)) {
            writeFileSync(path.join(target.application, file), text);
          }
          assert.deepEqual(target.run('node', [...flags, Object.keys(files)[0]]), PROFILE);
        });
      }

      it("gives a labelled profile by the README's first program", function () {
        const { comment, code } = firstProfile;
        const file = path.join(target.application, 'first.mjs');
        writeFileSync(file, `${comment}\n${code}${request}`);
        target.run('node', ['first.mjs']);
        const profile = readProfile(readFileSync(path.join(target.application, 'cpu.pb.gz')));
        const work = profile.samples.filter((sample) => onStack(sample, 'burnRequest'));
        assert.ok(work.length > 0);
        for (const { labels } of work) {
          assert.equal(labels.span_name, 'GET /cart');
          assert.match(labels.trace_id, /^[0-9a-f]{32}$/);
          assert.match(labels.span_id, /^[0-9a-f]{16}$/);
        }
      });
    });
  }

  it('gives a labelled profile with --ignore-scripts', function () {
    const target = applicationFor(describeNode());
    install(target, '--ignore-scripts');
    assert.deepEqual(target.run('node', ['-e', program]), PROFILE);
  });

  it('succeeds on a Node without a binary, names the remedy, and keeps traces complete', function () {
    const node = describeNode(installNode(UNKNOWN));
    assert.ok(!nodes.some(({ abi }) => abi === node.abi));
    const target = applicationFor(node);
    install(target);
    const used = target.run('node', ['-e', program]);
    assert.match(
      used.stdout,
      new RegExp(
        `^ERR_NATIVE_MISSING: no native binary for Node .* \\(ABI ${node.abi}, glibc\\): .*: npx otelpyroscope build`,
      ),
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
