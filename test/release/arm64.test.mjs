/** Builds the binaries for arm64 and runs them in that Node, for every supported version, under qemu-user. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { installNode } from '../../scripts/nodes.mjs';
import { buildPrebuild, prebuilds } from '../../scripts/prebuild.mjs';
import { ROOT } from '../support/run-child.mjs';
import { Copy } from './copy.mjs';
import { qemu, requireQemu, runOnArm64 } from './qemu.mjs';

const wanted = process.env.ARM64_ABIS?.split(',');
const targets = prebuilds.filter(
  ({ arch, libc, abi }) => arch === 'arm64' && libc === 'glibc' && (wanted?.includes(abi) ?? true),
);

/**
 * Tests of the checkout, and what of them an emulator does not suit: on it V8 and the end of a profile cost
 * ten times as much beside the work. The first test has inlined functions.
 */
const SUITES = {
  'test/integration/frames.test.mjs': 'wrong offset|of inlined functions|in every tier',
};

for (const target of targets) {
  const { version, abi } = target;
  describe(`arm64, Node ${version}`, function () {
    this.timeout(900_000);
    let directory;
    let copy;
    let emulated;

    before(function () {
      requireQemu();
      directory = mkdtempSync(path.join(os.tmpdir(), 'arm64-'));
      const binary = path.join(directory, 'otelpyroscope.node');
      const place = path.join(ROOT, '.cache', `prebuild-arm64-glibc-abi${abi}`);
      buildPrebuild(target, place, (built) => cpSync(built, binary));
      copy = new Copy(target, binary);
      emulated = path.join(installNode(version, 'arm64'), 'bin', 'node');
    });

    after(function () {
      copy?.remove();
      rmSync(directory, { recursive: true, force: true });
    });

    it('takes labelled profiles with lines and inlined frames, in a worker too', async function () {
      const fixture = path.join(copy.directory, 'test', 'release', 'fixtures', 'self-check.mjs');
      cpSync(
        path.join(ROOT, 'test/support/read-profile.mjs'),
        path.join(path.dirname(fixture), 'read-profile.mjs'),
      );
      const { stdout } = await runOnArm64(emulated, [fixture], { timeout: 300_000 });
      assert.equal(stdout, 'all right\n');
    });

    for (const [file, not] of Object.entries(SUITES)) {
      it(`passes ${file}`, async function () {
        const { passed, failed } = await copy.test([file], {
          grep: not,
          invert: true,
          // The tests look at the version that they run in.
          execPath: path.join(installNode(version), 'bin', 'node'),
          node: [...qemu, emulated],
        });
        assert.deepEqual(failed, []);
        assert.ok(passed.length > 0);
        console.log(`        ${passed.length} tests`);
      });
    }
  });
}
