/** Addons that block, mask and raise signals, switch stacks, start threads and fork. */

import assert from 'node:assert/strict';
import { buildAddon, buildPreload } from './build.mjs';
import { ALL, program, SECONDS, survives, torture, tortures } from './torture.mjs';

const ADDON = program('addon.mjs');
const CONTEXTS = program('contexts.mjs');
const STORM_LIMITS = { sampled: false, cpu: Infinity, dropped: Infinity };

tortures('torture by addons', function () {
  let environment;
  before(async () => {
    environment = { TORTURE_ADDON: await buildAddon() };
  });
  const run = (scene, options = {}, ...more) =>
    survives([ADDON, scene, String(SECONDS / 2), ...more], {
      ...options,
      env: { ...environment, ...options.env },
    });

  for (const [scene, title, short, limits] of [
    ['native', 'C++ that burns, blocks and calls back', true],
    ['fiber', 'CPU on another stack', true],
    ['threads', 'threads of C++', false],
    ['masked', 'signals blocked for a while', true],
    ['signals', 'a storm of other real-time signals', true],
    ['strangers', "the profiler's signal from somebody else", true, { sampled: false }],
    // No samples from the signal to the next turn of the loop.
    ['own kill', 'signals of its own that it survives', true, { sampled: false }],
    ['fork', 'forks without exec', true, { cpu: 0.05 }],
    ['small stack', 'an alternate signal stack that is too small', false],
  ]) {
    torture(`is survived: ${title}`, { short }, async () => {
      await run(scene, { limits });
    });
    torture(`is survived: ${title}, under a storm`, {}, async () => {
      if (scene === 'masked') return; // Its signals would only queue up.
      const env = { LD_PRELOAD: await buildPreload(), TORTURE_STORM_MICROS: '200' };
      await run(scene, { env, limits: STORM_LIMITS });
    });
  }

  torture(
    'is survived: reads that block, none of which fails because of the profiler',
    {},
    async () => {
      const { failedReads } = await run('pipes', { limits: { cpu: 0.1 } });
      assert.equal(failedReads, 0);
    },
  );

  const calls = ALL ? 15_000 : 900;
  // By perf events, those that the signal meets on their way into the kernel: docs/internals.md.
  for (const [clock, interrupted] of [
    ['tick', 0],
    ['auto', ALL ? calls / 50 : calls / 20],
  ]) {
    torture(
      `is survived: ${calls} calls of poll, nanosleep and select by the clock ${clock}, of which at most ${interrupted} are interrupted`,
      { short: true },
      async () => {
        const env = { TORTURE_ADDON: await buildAddon('system-calls'), TORTURE_CLOCK: clock };
        const report = await run('waits', { env, limits: { cpu: 0.1 } }, String(calls));
        assert.equal(report.calls, calls);
        assert.ok(report.interrupted <= interrupted, `${report.interrupted} were`);
      },
    );
  }

  // V8 tells nobody of these collections: see nested-collections.cc.
  for (const when of ['before', 'after']) {
    torture(
      `is survived: collections at the end of collections, by a callback that was there ${when} ours`,
      {},
      async () => {
        const env = {
          TORTURE_ADDON: await buildAddon('nested-collections'),
          LD_PRELOAD: await buildPreload(),
          TORTURE_STORM_MICROS: '500',
        };
        // Nothing may be wrong; what cannot be known any more may be missing.
        const limits = { ...STORM_LIMITS, missing: 0.05, unresolved: 0.1 };
        for (const owner of ['user', 'spans']) {
          const command = ['--expose-gc', CONTEXTS, String(2 * SECONDS), '200', owner, when];
          const { nested, strayed } = await survives(command, { env, limits });
          assert.ok(nested > 10, `only ${nested} collections`);
          assert.equal(strayed, 0);
        }
      },
    );
  }

  torture(
    'is survived: all signals blocked from the beginning, and again at the end',
    { short: true },
    async () => {
      const { restored } = await run('born masked');
      assert.equal(restored, true);
    },
  );

  for (const masked of ['0', '1']) {
    torture(
      `is survived: addons in workers${masked === '1' ? ' that block all signals' : ''}`,
      {},
      async () => {
        await run('workers', { limits: { sampled: false, labels: masked === '0' } }, masked);
      },
    );
  }
});
