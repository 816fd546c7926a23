/** Addons that block, mask and raise signals, switch stacks, start threads and fork. */

import assert from 'node:assert/strict';
import { buildAddon, buildPreload } from './build.mjs';
import { program, SECONDS, survives, torture, tortures } from './torture.mjs';

const ADDON = program('addon.mjs');
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

  torture('is survived: reads that block, none of which fails because of us', {}, async () => {
    const { failedReads } = await run('pipes', { limits: { cpu: 0.1 } });
    assert.equal(failedReads, 0);
  });

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
