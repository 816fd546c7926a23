/** Builds a binary of the package as a release does, and checks that it is fit for one, alone and the same everywhere. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { binaryPath, buildNative, describeNode } from '../../scripts/native-build.mjs';
import { buildPrebuild, prebuilds, problemsOf } from '../../scripts/prebuild.mjs';
import { ROOT } from '../support/run-child.mjs';
import { Application, packPackage } from '../support/tarball.mjs';

const node = describeNode();
/** The one for this machine; `npm run prebuilds` builds and checks all sixteen. */
const prebuild = prebuilds.find(
  ({ arch, libc, abi }) => arch === node.arch && libc === node.libc && abi === node.abi,
);

describe('prebuilt binaries', function () {
  this.timeout(600_000);
  let directory;
  let binary;

  before(function () {
    directory = mkdtempSync(path.join(os.tmpdir(), 'prebuilds-'));
    binary = path.join(directory, 'otelpyroscope.node');
    const { arch, libc, abi } = prebuild;
    const place = path.join(ROOT, '.cache', `prebuild-${arch}-${libc}-abi${abi}`);
    // Throws where a check fails.
    buildPrebuild(prebuild, place, (built) => cpSync(built, binary));
  });

  after(function () {
    rmSync(directory, { recursive: true });
  });

  it('are told from what is not fit for a release', function () {
    assert.deepEqual(problemsOf(binary, prebuild), []);
    // This machine's compiler takes this machine's libraries.
    const problems = problemsOf(buildNative(node, { quiet: true }), prebuild);
    assert.ok(problems.includes('needs libstdc++.so.6'), problems.join('\n'));
    assert.ok(problems.includes('is not stripped'));
    assert.ok(problems.some((problem) => problem.startsWith('exports ')));
    assert.ok(problems.some((problem) => /^is larger than \d/.test(problem)));
    const others = problemsOf(binaryPath(node), { arch: 'arm64', libc: 'musl' });
    assert.ok(others.includes('is not for arm64'));
    assert.ok(others.includes('needs libc.so.6'));
    assert.ok(others.some((problem) => /^needs glibc \d/.test(problem)));
  });

  it('are the same bytes from another checkout in another place', function () {
    const checkout = path.join(directory, 'another', 'checkout');
    for (const part of ['binding.gyp', 'native', 'package.json', 'scripts']) {
      cpSync(path.join(ROOT, part), path.join(checkout, part), { recursive: true });
    }
    for (const part of ['node_modules', '.nodes']) {
      symlinkSync(path.join(ROOT, part), path.join(checkout, part));
    }
    const toolchain = process.env.OTELPYROSCOPE_TOOLCHAIN ?? path.join(ROOT, '.toolchain');
    const { arch, libc, abi } = prebuild;
    const args = ['scripts/prebuilds.mjs', `--arch=${arch}`, `--libc=${libc}`, `--abi=${abi}`];
    const said = execFileSync(process.execPath, args, {
      cwd: checkout,
      encoding: 'utf8',
      env: { ...process.env, OTELPYROSCOPE_TOOLCHAIN: path.resolve(toolchain) },
    });
    assert.match(said, /: \d+ KiB\nthe package: [\d.]+ MiB packed, .* 1 binaries\n$/);
    const other = readFileSync(binaryPath(prebuild, checkout));
    assert.ok(readFileSync(binary).equals(other), 'the bytes differ');
  });

  it('take a labelled profile in an application that has no other', function () {
    const application = new Application({ tarball: packPackage(directory).file });
    try {
      rmSync(path.join(application.installed, 'prebuilds'), { recursive: true, force: true });
      const place = binaryPath(prebuild, application.installed);
      mkdirSync(path.dirname(place), { recursive: true });
      cpSync(binary, place);
      const probe = path.join(ROOT, 'test', 'package', 'fixtures', 'probe.cjs');
      const code = `require(${JSON.stringify(probe)}).probe(require('otelpyroscope')).then(console.log)`;
      assert.equal(application.node(['-e', code]).stdout, 'labelled profile\n');
    } finally {
      application.remove();
    }
  });
});
