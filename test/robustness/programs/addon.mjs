/** The hostile addon at work beside JavaScript. Arguments: scene, seconds of CPU. */

import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { setImmediate as turn } from 'node:timers/promises';
import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { withLabels } from 'otelpyroscope';
import { processMicros } from '../../support/thread-cpu.mjs';
import { Tortured } from './harness.mjs';
import { KINDS } from './work.mjs';

const addon = createRequire(import.meta.url)(process.env.TORTURE_ADDON);
const [scene, seconds] = [process.argv[2], Number(process.argv[3])];
const tortured = new Tortured();
const more = {};

/** Steps under their label, until the time is over. */
async function steps(task, step) {
  const end = processMicros() + seconds * 1e6;
  await withLabels({ task }, async () => {
    for (let i = 0; processMicros() < end; i++) {
      step(i);
      await turn();
    }
  });
}

const status = (name) =>
  BigInt(
    `0x${readFileSync('/proc/self/status', 'utf8').match(new RegExp(`^${name}:\\s*(\\w+)`, 'm'))[1]}`,
  );
/** The profiler's own signal: the highest real-time signal that is handled. */
function ownSignal() {
  for (let signal = 64; signal > 32; signal--) {
    if ((status('SigCgt') >> BigInt(signal - 1)) & 1n) return signal;
  }
  throw new Error('no real-time signal is handled');
}

const scenes = {
  /** C++ that burns, waits, and calls back, in depth. */
  native: () =>
    steps('native', function task_native_step() {
      addon.spin(5_000);
      addon.block(2_000);
      addon.callBack(20, function task_native_called() {
        addon.callBack(3, KINDS.builtins);
      });
    }),
  /** The same where every wait may be interrupted. */
  pipes: () =>
    steps('pipes', function task_pipes_step() {
      more.failedReads = (more.failedReads ?? 0) + addon.readPipe();
    }),
  /** Calls that SA_RESTART does not restart; argument: how many. */
  waits: async () => {
    const TIMES = 100;
    const CALLS = 3;
    Object.assign(more, { calls: 0, interrupted: 0 });
    await withLabels({ task: 'waits' }, async function task_waits() {
      while (more.calls < Number(process.argv[4])) {
        more.interrupted += addon.waits(TIMES);
        more.calls += TIMES * CALLS;
        KINDS.garbage();
        await turn();
      }
    });
  },
  /** A fiber: V8 does not know its stack. */
  fiber: () =>
    steps('fiber', function task_fiber_step() {
      addon.onOtherStack(5_000);
      KINDS.garbage();
    }),
  threads: () =>
    steps('threads', function task_threads_step() {
      addon.threads(8, 3_000);
      KINDS.garbage();
    }),
  /** Signals are blocked for a while: the timer's overrun tells what was missed. */
  masked: () =>
    steps('masked', function task_masked_step() {
      addon.mask(1);
      addon.spin(30_000);
      KINDS.garbage();
      addon.mask(0);
    }),
  /** The application's own real-time signals, by the thousand. */
  signals: () =>
    steps('signals', function task_signals_step(i) {
      const signal = 34 + (i % 10);
      const arrived = addon.storm(signal, 3_000);
      if (arrived !== 3_000) throw new Error(`${arrived} of 3000 signals ${signal} arrived`);
      KINDS.garbage();
    }),
  /** Somebody sends our signal: it is not the timer's. */
  strangers: () => {
    const own = ownSignal();
    const kill = 'i=0; while [ $i -lt 200 ]; do kill -$0 $1; i=$((i+1)); done';
    return steps('strangers', function task_strangers_step(i) {
      if (i % 20 === 0) spawnSync('sh', ['-c', kill, String(own), String(process.pid)]);
      KINDS.garbage();
    });
  },
  /** A signal to oneself may be the end, which Node prepares for. */
  'own kill': () =>
    steps('own', function task_own_step(i) {
      if (i % 20 === 0) process.kill(process.pid, 'SIGWINCH');
      else KINDS.garbage();
    }),
  /** A fork without exec: the child has a copy of everything but timers and threads. */
  fork: () =>
    steps('fork', function task_fork_step() {
      const status = addon.forked(8_000);
      if (status !== 0) throw new Error(`child: ${status}`);
      KINDS.garbage();
    }),
  workers: async () => {
    const source = `
      const addon = require(process.env.TORTURE_ADDON);
      const { withLabels } = require('otelpyroscope');
      addon.mask(${Number(process.argv[4] ?? 0)});
      withLabels({ task: 'workers' }, function task_workers() {
        addon.spin(30_000);
        addon.callBack(10, () => JSON.parse('{"a":1}'));
        addon.onOtherStack(5_000);
      });`;
    const end = processMicros() + seconds * 1e6;
    while (processMicros() < end) {
      await Promise.all(
        [0, 1, 2].map(
          () =>
            new Promise((resolve, reject) =>
              new Worker(source, { eval: true }).on('exit', resolve).on('error', reject),
            ),
        ),
      );
    }
  },
};

if (scene === 'born masked') {
  addon.mask(1);
  const before = addon.blocked();
  tortured.start();
  await steps('born', function task_born_step() {
    addon.spin(5_000);
    KINDS.garbage();
  });
  const report = await tortured.stop();
  report.restored = addon.blocked() === before;
  addon.mask(0);
  process.send(report, () => process.disconnect());
} else if (scene === 'small stack') {
  addon.smallStack(8_192);
  tortured.start();
  await steps('small', function task_small_step() {
    const task_small_deeper = (n) => (n === 0 ? addon.spin(500) : task_small_deeper(n - 1) + 1);
    for (let i = 0; i < 5; i++) task_small_deeper(5_000);
  });
  await tortured.send();
} else {
  tortured.start();
  await scenes[scene]();
  await tortured.send(more);
}
