/** Builds binaries of the package as a release does, and checks that they load everywhere they should. */
import assert from 'node:assert/strict';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { binaryPath, buildNative, describeNode } from '../../scripts/native-build.mjs';
import { installNode } from '../../scripts/nodes.mjs';
import { buildPrebuild, prebuilds, problemsOf } from '../../scripts/prebuild.mjs';
import { ROOT } from '../support/run-child.mjs';
import { readProfile } from '../support/read-profile.mjs';
import { Application, packPackage } from '../support/tarball.mjs';
import { requireQemu, runOnArm64 } from './qemu.mjs';

const node = describeNode();

/** One of each kind; `npm run prebuilds` builds and checks all sixteen. */
const samples = {
  native: prebuilds.find(
    ({ arch, libc, abi }) => arch === 'x64' && libc === 'glibc' && abi === node.abi,
  ),
  musl: prebuilds.find(({ arch, libc, abi }) => arch === 'x64' && libc === 'musl' && abi === '137'),
  arm64: (process.env.ARM64_ABIS ?? '137')
    .split(',')
    .map((wanted) =>
      prebuilds.find(
        ({ arch, libc, abi }) => arch === 'arm64' && libc === 'glibc' && abi === wanted,
      ),
    ),
};

describe('prebuilt binaries', function () {
  this.timeout(600_000);
  let directory;

  before(function () {
    directory = mkdtempSync(path.join(os.tmpdir(), 'prebuilds-'));
  });

  after(function () {
    rmSync(directory, { recursive: true });
  });

  /** The binary, built in a directory of this name, which the next test may reuse. */
  function build(prebuild, name) {
    return buildPrebuild(prebuild, name, (built) => {
      const copy = path.join(directory, `${path.basename(name)}.node`);
      cpSync(built, copy);
      return copy;
    });
  }
  const cached = ({ arch, libc, abi }) =>
    path.join(ROOT, '.cache', `prebuild-${arch}-${libc}-abi${abi}`);

  /** An application with that binary as the only one. */
  function applicationWith(prebuild, binary) {
    const application = new Application({ tarball: packPackage(directory).file });
    rmSync(path.join(application.installed, 'prebuilds'), { recursive: true, force: true });
    const place = binaryPath(prebuild, application.installed);
    mkdirSync(path.dirname(place), { recursive: true });
    cpSync(binary, place);
    return application;
  }

  it('are told from what is not fit for a release', function () {
    // This machine's compiler takes this machine's libraries.
    const problems = problemsOf(buildNative(node, { quiet: true }), samples.native);
    assert.ok(problems.includes('needs libstdc++.so.6'), problems.join('\n'));
    assert.ok(problems.includes('is not stripped'));
    assert.ok(problems.some((problem) => problem.startsWith('exports ')));
    const others = problemsOf(binaryPath(node), { arch: 'arm64', libc: 'musl' });
    assert.ok(others.includes('is not for arm64'));
    assert.ok(others.includes('needs libc.so.6'));
    assert.ok(others.some((problem) => /^needs glibc \d/.test(problem)));
  });

  it('work, and are the same bytes wherever they are built', function () {
    const here = build(samples.native, cached(samples.native));
    const elsewhere = build(samples.native, path.join(ROOT, '.cache', 'test-release', 'elsewhere'));
    assert.ok(readFileSync(here).equals(readFileSync(elsewhere)), 'the bytes differ');
    const application = applicationWith(samples.native, here);
    try {
      const probe = path.join(ROOT, 'test', 'package', 'fixtures', 'probe.cjs');
      const code = `require(${JSON.stringify(probe)}).probe(require('otelpyroscope')).then(console.log)`;
      assert.equal(application.node(['-e', code]).stdout, 'labelled profile\n');
    } finally {
      application.remove();
    }
  });

  it('link with musl', function () {
    // buildPrebuild() throws where a check fails.
    assert.deepEqual(problemsOf(build(samples.musl, cached(samples.musl)), samples.musl), []);
  });

  for (const prebuild of samples.arm64) {
    it(`take labelled profiles with lines and inlined frames on arm64, Node ${prebuild.version}`, async function () {
      requireQemu();
      const application = applicationWith(prebuild, build(prebuild, cached(prebuild)));
      try {
        cpSync(
          path.join(ROOT, 'test', 'release', 'fixtures', 'arm64.cjs'),
          path.join(application.directory, 'arm64.cjs'),
        );
        const execPath = path.join(installNode(prebuild.version, 'arm64'), 'bin', 'node');
        const output = path.join(application.directory, 'cpu.pb.gz');
        const { stdout } = await runOnArm64(execPath, ['arm64.cjs', output], {
          cwd: application.directory,
          timeout: 300_000,
          maxBuffer: 1 << 24,
        });
        const metrics = JSON.parse(stdout);
        checkMetrics(metrics);
        checkProfile(readProfile(readFileSync(output)));
      } finally {
        application.remove();
      }
    });
  }
});

/** The timer counts, the layout table is right, and the labels are read. */
function checkMetrics(metrics) {
  assert.ok(metrics.signals > 0 && metrics.samples > 0, 'the timer sent no signal');
  assert.equal(metrics.layoutFallbacks, 0);
  assert.ok(metrics.inlinedFrames > 0, 'no inlined frame was found');
  assert.ok(metrics.labelledSamples > 0, 'no label was read');
}

function checkProfile(profile) {
  const ofBurner = profile.samples.filter(({ stack }) =>
    stack.some(({ name }) => name === 'burnArm64'),
  );
  const nanos = (samples) => samples.reduce((sum, sample) => sum + sample.nanos, 0);
  const all = nanos(ofBurner);
  assert.ok(all > 0);
  // All of it ran under the label; in a sample during a collection it may be another's.
  const labelled = ofBurner.filter(({ labels }) => labels.tenant === 'acme');
  assert.ok(nanos(labelled) / all > 0.9, `labelled: ${nanos(labelled) / all}`);
  const inLeaf = ofBurner.filter(({ stack }) => stack.some(({ name }) => name === 'hotLeaf'));
  assert.ok(nanos(inLeaf) / all > 0.5, `hotLeaf: ${nanos(inLeaf) / all}`);
  // Its caller stands above it, though V8 has inlined one into the other.
  for (const { stack } of inLeaf) {
    const at = stack.findIndex(({ name }) => name === 'hotLeaf');
    assert.equal(stack[at + 1]?.name, 'burnArm64');
    assert.match(stack[at].file, /arm64\.cjs$/);
  }
}
