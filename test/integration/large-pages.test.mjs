/** Frames have their names where Node.js has moved its own code into large pages. */

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { messageOf, runNode } from '../support/run-child.mjs';

const fixture = fileURLToPath(new URL('fixtures/frames/large-pages.mjs', import.meta.url));

describe('a process in large pages', function () {
  this.timeout(60_000);
  this.slow(20_000);

  for (const mode of ['on', 'silent']) {
    it(`has names of builtins under --use-largepages=${mode}`, async function () {
      const { builtin, unresolved, total, isMoved } = await messageOf(
        runNode([`--use-largepages=${mode}`, fixture]),
      );
      // Node 26 ignores the flag, and systems may have no large pages: the names are to be right
      // there as well.
      if (!isMoved) console.log('      (Node.js did not move its code)');
      assert.ok(unresolved < 0.05 * total, `${unresolved} of ${total} ns are unresolved`);
      assert.ok(builtin > 0.2 * total, `only ${builtin} of ${total} ns are in builtins`);
    });
  }
});
