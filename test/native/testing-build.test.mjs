/** Code for tests alone is in the tests' own build, and not in the one that is published. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { binaryPath, describeNode } from '../../scripts/lib/native-build.mjs';
import { testingBuild } from '../support/testing-build.mjs';
import { needsCompilerForNode } from './toolchain.mjs';

const require = createRequire(import.meta.url);
const FOR_TESTS = 'shiftLayoutForTest';
/** In the name of the C++ function: clang compiles the exported name into instructions. */
const SYMBOL = 'ShiftLayoutForTest';

describe('what is for tests alone', function () {
  this.timeout(300_000);

  it('is not in the binary that is published', function () {
    const binary = binaryPath(describeNode());
    const exported = ['abi', 'catchSignal', 'open', 'sameBuild', 'setFinished', 'watchEnd'];
    assert.deepEqual(Object.keys(require(binary)).sort(), exported);
    assert.equal(readFileSync(binary).includes(SYMBOL), false);
  });

  it("is in the tests' own build", async function () {
    needsCompilerForNode(this);
    const { binary } = await testingBuild();
    assert.equal(readFileSync(binary).includes(SYMBOL), true);
    assert.equal(typeof require(binary)[FOR_TESTS], 'function');
  });
});
