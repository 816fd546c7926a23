/** Functions that Maglev has inlined have their names, or the profile says that V8 does not tell. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { installNode } from '../../scripts/lib/nodes.mjs';
import { MAGLEV_HAS_POSITIONS } from '../support/maglev.mjs';
import { needsGlibc } from '../support/needs.mjs';
import { EMULATED, runNode } from '../support/run-child.mjs';

const fixture = fileURLToPath(new URL('fixtures/frames/maglev.mjs', import.meta.url));
/** A version of which V8 keeps no positions in Maglev's code, and which takes the same binary. */
const UNTOLD = { 127: '22.8.0', 137: '24.11.0' }[process.versions.modules];

async function resultOf(options) {
  // TurboFan, which keeps them in every version, would replace the code.
  const ended = await runNode(['--maglev', '--no-turbofan', fixture], options);
  assert.equal(ended.code, 0, ended.stderr);
  return { ...ended.messages[0], stderr: ended.stderr };
}

describe('functions that Maglev has inlined', function () {
  this.timeout(120_000);
  this.slow(10_000);

  // Node 20's Maglev is not finished, and Node 22 has none since 22.9.
  if (MAGLEV_HAS_POSITIONS) {
    it('have their names', async function () {
      const { leaves, unknownInlined, stderr } = await resultOf();
      assert.ok(leaves.innermost > 0.8, JSON.stringify(leaves));
      assert.equal(unknownInlined, 0);
      assert.equal(stderr, '');
    });
  }

  if (UNTOLD !== undefined && !EMULATED) {
    it('are not told apart from their caller where V8 does not, which is said once', async function () {
      needsGlibc("npm's Node.js", this);
      const execPath = path.join(installNode(UNTOLD), 'bin', 'node');
      const { leaves, unknownInlined, stderr } = await resultOf({ execPath });
      assert.ok(leaves['(own or inlined code)'] > 0.8, JSON.stringify(leaves));
      assert.ok((leaves.caller ?? 0) < 0.1, JSON.stringify(leaves));
      assert.ok(unknownInlined > 20);
      assert.equal(stderr.match(/does not tell which inlined function runs/g)?.length, 1, stderr);
    });
  }
});
