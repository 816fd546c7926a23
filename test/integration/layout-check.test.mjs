/** The look at V8's layout calls nothing of the application's, and comes to its result in the end. */

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { binaryPath, describeNode } from '../../scripts/lib/native-build.mjs';
import { EMULATED, messageOf, PATIENCE, runNode } from '../support/run-child.mjs';

const fixture = (name) => fileURLToPath(new URL(`fixtures/frames/${name}`, import.meta.url));
const flags = {
  'as Node.js is': [],
  'with baseline code': ['--always-sparkplug'],
  'without compilers': ['--no-opt', '--no-maglev', '--no-sparkplug'],
  'with collections everywhere': ['--gc-interval=50', '--stress-compaction'],
  'with bytecode thrown away': ['--stress-flush-code', '--gc-interval=50'],
};

describe("the self-check of V8's layout", function () {
  this.timeout(60_000 * PATIENCE);
  let binary;

  before(function () {
    // Where the addon of the emulated machine is, only that one's Node knows.
    if (EMULATED) this.skip();
    binary = binaryPath(describeNode());
  });

  for (const [title, given] of Object.entries(flags)) {
    it(`calls no function that the application has replaced, ${title}`, async () => {
      const report = await messageOf(runNode([...given, fixture('patched.cjs'), binary]));
      assert.deepEqual(report, { called: '', fallbacks: 0 });
    });
  }

  it('runs again if V8 has refused it', async () => {
    const report = await messageOf(runNode([fixture('refused.cjs'), binary]));
    assert.deepEqual(report, { fallbacks: 0 });
  });
});
