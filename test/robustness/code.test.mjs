/** Code and heap in motion: every way in which V8 can be made to compile, throw away and collect. */

import assert from 'node:assert/strict';
import { buildPreload } from './build.mjs';
import {
  ALL,
  knownFlags,
  NODE_MAJOR,
  program,
  SECONDS,
  survives,
  torture,
  tortures,
} from './torture.mjs';

const MIX = program('mix.mjs');
const CONTEXTS = program('contexts.mjs');

const collectors = [
  ['--stress-compaction'],
  ['--stress-compaction-random'],
  ['--compact-on-every-full-gc'],
  ['--random-gc-interval=500'],
  ['--gc-interval=300'],
  ['--expose-gc'],
  ['--expose-gc', '--gc-global'],
  ['--stress-scavenge=50', '--stress-incremental-marking'],
  // With it, Node.js 22 alone hangs at the end of a program, 3 of 30 times: the main thread waits for
  // V8's background task, which waits for a collection by the main thread.
  ...(NODE_MAJOR === 22 ? [] : [['--stress-concurrent-allocation']]),
  ['--stress-flush-code', '--flush-bytecode', '--expose-gc'],
  ['--max-semi-space-size=1', '--stress-compaction'],
  ['--single-threaded-gc'],
  ['--minor-ms', '--expose-gc'],
  ['--separate-gc-phases', '--stress-compaction'],
  ['--predictable-gc-schedule'],
  ['--no-flush-bytecode', '--gc-interval=1000'],
];
const compilers = [
  [],
  ['--jitless'],
  ['--no-opt'],
  ['--no-opt', '--no-sparkplug'],
  ['--always-sparkplug'],
  ['--always-sparkplug', '--stress-compaction'],
  ['--maglev'],
  ['--stress-maglev'],
  ['--always-osr'],
  ['--interrupt-budget=500'],
  ['--deopt-every-n-times=50'],
  // Like --stress-inline, which has no limits: V8 takes gigabytes then to compile some functions.
  [
    '--max-inlined-bytecode-size=3000',
    '--max-inlined-bytecode-size-cumulative=3000',
    '--min-inlining-frequency=0',
  ],
  ['--single-threaded'],
  ['--no-concurrent-recompilation'],
  ['--no-lazy-feedback-allocation'],
  ['--interpreted-frames-native-stack'],
  ['--no-short-builtin-calls'],
  ['--regexp-interpret-all'],
  ['--no-regexp-tier-up'],
  ['--liftoff-only'],
  ['--no-wasm-lazy-compilation', '--no-liftoff'],
  ['--stack-size=200'],
  ['--enable-source-maps'],
  ['--frozen-intrinsics'],
  ['--no-node-snapshot'],
  ['--experimental-vm-modules', '--experimental-wasm-modules'],
  ['--no-async-context-frame'],
  ['--experimental-async-context-frame'],
];
/** Part of `npm test` too. */
const SHORT = new Set(['--stress-compaction', '--always-sparkplug']);

/** Returns the limits that some flags alone have. */
function limitsOf(flags) {
  // A builtin that V8 does not name runs in place of each function.
  if (flags.includes('--interpreted-frames-native-stack')) return { unresolved: 0.05 };
  return {};
}

for (const [title, all] of [
  ['collectors', collectors],
  ['compilers', compilers],
]) {
  tortures(`torture by ${title}`, function () {
    for (const flags of all.filter(knownFlags)) {
      const name = flags.length === 0 ? 'no flags' : flags.join(' ');
      torture(`is survived: ${name}`, { short: SHORT.has(name) }, async () => {
        await survives([...flags, MIX, String(SECONDS)], { limits: limitsOf(flags) });
      });
    }
  });
}

for (const [owner, sets] of Object.entries({
  user: [...compilers, ...collectors],
  spans: collectors,
})) {
  tortures(
    `torture by 200 async contexts at once, whose labels are those of the ${owner},`,
    function () {
      for (const flags of sets.filter(knownFlags)) {
        const name = flags.length === 0 ? 'no flags' : flags.join(' ');
        torture(`is survived: ${name}`, { short: SHORT.has(name) }, async () => {
          const command = [...flags, CONTEXTS, String(SECONDS), '200', owner];
          const { strayed } = await survives(command, { limits: limitsOf(flags) });
          assert.equal(strayed, 0);
        });
      }
    },
  );
}

tortures('torture by signals of the timer, ten thousand a second,', function () {
  const env = { TORTURE_STORM_MICROS: '100' };
  /** Signals beside those of the timer stand for no CPU, and there is no room for all of them. */
  const limits = { sampled: false, cpu: Infinity, dropped: Infinity };

  before(async () => {
    env.LD_PRELOAD = await buildPreload();
  });

  // V8 does not end a process with this flag that signals slow down: one round of marking begins the next.
  const cases = ALL
    ? [...compilers, ...collectors].filter(
        (flags) => !flags.includes('--stress-incremental-marking'),
      )
    : [[], ['--stress-compaction', '--maglev']];
  for (const flags of cases.filter(knownFlags)) {
    const name = flags.length === 0 ? 'no flags' : flags.join(' ');
    torture(`is survived: ${name}`, { short: true }, async () => {
      await survives([...flags, MIX, String(SECONDS)], {
        env,
        limits: { ...limits, ...limitsOf(flags) },
      });
    });
  }
});
