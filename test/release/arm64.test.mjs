/** Builds the binaries for arm64 and runs them in that Node, for every supported version, under qemu-user. */
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import path from 'node:path';
import { installNode } from '../../scripts/lib/nodes.mjs';
import { prebuilds } from '../../scripts/lib/prebuild.mjs';
import { ROOT } from '../support/run-child.mjs';
import { Copy } from './copy.mjs';
import { publishedBinary } from './published.mjs';
import { qemu, requireQemu, runOnArm64 } from './qemu.mjs';

const wanted = process.env.ARM64_ABIS?.split(',');
const targets = prebuilds.filter(
  ({ arch, libc, abi }) => arch === 'arm64' && libc === 'glibc' && (wanted?.includes(abi) ?? true),
);

/** Tests of the checkout, and what of them is too long for an emulator: a Node for each offset of the table. */
const SUITES = { 'test/integration/frames.test.mjs': 'wrong offset' };

for (const target of targets) {
  const { version } = target;
  describe(`arm64, Node ${version}`, function () {
    this.timeout(3_600_000);
    let copy;
    let emulated;

    before(function () {
      requireQemu();
      copy = new Copy(target, publishedBinary(target));
      emulated = path.join(installNode(version, 'arm64'), 'bin', 'node');
    });

    after(function () {
      copy?.remove();
    });

    it('takes labelled profiles with lines and inlined frames, in a worker too', async function () {
      const fixture = path.join(copy.directory, 'test', 'release', 'fixtures', 'self-check.mjs');
      cpSync(
        path.join(ROOT, 'test/support/read-profile.cjs'),
        path.join(path.dirname(fixture), 'read-profile.cjs'),
      );
      const { stdout } = await runOnArm64(emulated, [fixture, 'emulated'], {
        timeout: 300_000,
      });
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
