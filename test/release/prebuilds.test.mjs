/** Builds the binaries of the package as a release does: fit for one, where they are looked for, the same everywhere. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { binaryPath, buildNative, describeNode } from '../../scripts/lib/native-build.mjs';
import { installNode } from '../../scripts/lib/nodes.mjs';
import { sizeOf, sizeProblems } from '../../scripts/lib/pack.mjs';
import { nodes, prebuilds, problemsOf } from '../../scripts/lib/prebuild.mjs';
import { ROOT } from '../support/run-child.mjs';
import { Application } from '../support/tarball.mjs';
import { publishedBinary, publishedTarball } from './published.mjs';

const node = describeNode();
/** The one for this machine. */
const prebuild = prebuilds.find(
  ({ arch, libc, abi }) => arch === node.arch && libc === node.libc && abi === node.abi,
);

describe('prebuilt binaries', function () {
  this.timeout(3_600_000);
  let directory;
  let binary;

  before(function () {
    directory = mkdtempSync(path.join(os.tmpdir(), 'prebuilds-'));
    binary = publishedBinary(prebuild);
  });

  after(function () {
    rmSync(directory, { recursive: true });
  });

  it('are distinguished from binaries that are not fit for a release', function () {
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

  it('are sixteen, all of them fit for a release and in the package', function () {
    // Throws where a check of one fails.
    const { paths, packedBytes, unpackedBytes } = publishedTarball();
    assert.equal(prebuilds.length, 16);
    assert.deepEqual(
      paths.filter((file) => file.endsWith('.node')).sort(),
      prebuilds.map((one) => binaryPath(one, '')).sort(),
    );
    const sizes = { size: packedBytes, unpackedSize: unpackedBytes };
    console.log(`        ${sizeOf({ ...sizes, files: paths.map((file) => ({ path: file })) })}`);
    assert.deepEqual(sizeProblems(sizes), []);
    assert.equal(sizeProblems({ size: 6 << 20, unpackedSize: 13 << 20 }).length, 2);
  });

  it('are found by the rules of node-gyp-build, as its own loader finds them', function () {
    const application = new Application({ tarball: publishedTarball().file });
    try {
      const loader = createRequire(import.meta.url).resolve('node-gyp-build');
      const code = `console.log(require(${JSON.stringify(loader)}).path('${application.installed}'))`;
      for (const { version } of nodes) {
        const { execPath, abi } = describeNode(installNode(version));
        for (const one of prebuilds.filter((candidate) => candidate.abi === abi)) {
          // The variables by which it chooses for another machine than this one.
          const env = { npm_config_arch: one.arch, LIBC: one.libc };
          const { stdout } = application.node(['-e', code], { env, execPath });
          assert.equal(stdout.trim(), binaryPath(one, application.installed));
        }
      }
    } finally {
      application.remove();
    }
  });

  it('have the same bytes if they are built in another checkout', function () {
    const checkout = path.join(directory, 'another', 'checkout');
    for (const part of ['native', 'package.json', 'scripts']) {
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
});
