/**
 * A process that ends in some way while the profiler is in some state.
 * Arguments: state, end, 'on' or 'off' (the same without a profiler).
 */

const { writeSync } = require('node:fs');
const { Worker, isMainThread, workerData } = require('node:worker_threads');

const [state, end, mode] = isMainThread ? process.argv.slice(2) : workerData;
const on = mode === 'on';
const { CpuProfiler, withLabels } = on ? require('otelpyroscope') : { withLabels: (_, fn) => fn() };
const profiler = on
  ? new CpuProfiler({ intervalMicros: 1_000 })
  : {
      start() {},
      collect: () => Promise.resolve(),
      stop: () => Promise.resolve(),
      metrics: () => ({}),
    };

function work(micros) {
  const begin = process.cpuUsage();
  const made = [];
  for (let i = 0; ; i++) {
    made[i % 1_000] = { i, text: `x${i}` };
    if (i % 500 !== 0) continue;
    const { user, system } = process.cpuUsage(begin);
    if (user + system > micros) return made;
  }
}

/** Many stacks under many labels: encoding takes turns. */
function workUnderManyLabels() {
  for (let i = 0; i < 3_000; i++) {
    withLabels({ span_id: i.toString(16).padStart(16, '0') }, () =>
      work(i % 100 === 0 ? 1_000 : 0),
    );
  }
}

function report() {
  const { signals = 0, samples = 0 } = profiler.metrics();
  writeSync(1, `signals=${signals} samples=${samples}\n`);
}

const forever = () => setInterval(() => work(2_000), 1);
const ends = {
  exit: () => process.exit(3),
  'exit listener': () => {
    process.on('exit', () => {
      work(5_000);
      process.exit(6);
    });
    process.exit(2);
  },
  reallyExit: () => process.reallyExit(5),
  abort: () => process.abort(),
  'uncaught exception': () => {
    throw new Error('planned');
  },
  'unhandled rejection': () => {
    forever();
    Promise.reject(new Error('planned'));
  },
  'stack overflow': () => {
    const deeper = () => deeper() + 1;
    deeper();
  },
  SIGTERM: () => {
    forever();
    process.kill(process.pid, 'SIGTERM');
  },
  SIGINT: () => {
    forever();
    process.kill(process.pid, 'SIGINT');
  },
  SIGKILL: () => {
    forever();
    process.kill(process.pid, 'SIGKILL');
  },
  'SIGTERM with a listener': () => {
    forever();
    process.on('SIGTERM', () => process.exit(9));
    process.kill(process.pid, 'SIGTERM');
  },
  'fault in C++': () => require(process.env.TORTURE_ADDON).crash(),
  'nothing left to do': () => {},
};

function finish() {
  report();
  ends[end]();
}

const states = {
  'before start': () => finish(),
  started: () => {
    profiler.start();
    finish();
  },
  running: () => {
    profiler.start();
    withLabels({ task: 'a' }, () => {
      work(20_000);
      finish();
    });
  },
  collecting: () => {
    profiler.start();
    work(20_000);
    profiler.collect();
    finish();
  },
  encoding: () => {
    profiler.start();
    workUnderManyLabels();
    profiler.collect();
    setImmediate(() => setImmediate(finish));
  },
  compressing: () => {
    profiler.start();
    workUnderManyLabels();
    profiler.collect();
    setTimeout(finish, 4);
  },
  stopping: () => {
    profiler.start();
    work(20_000);
    profiler.stop();
    finish();
  },
  stopped: () => {
    profiler.start();
    work(10_000);
    profiler.stop().then(() => setImmediate(finish));
  },
  'with busy workers': () => {
    profiler.start();
    let busy = 0;
    for (let i = 0; i < 3; i++) {
      new Worker(__filename, { workerData: ['busy', '', mode] }).once('message', () => {
        if (++busy < 3) return;
        work(10_000);
        profiler.collect();
        finish();
      });
    }
  },
  'in a worker': () => {
    profiler.start();
    const worker = new Worker(__filename, { workerData: ['worker', end, mode] });
    worker.on('exit', (code) => {
      report();
      process.exitCode = code;
      profiler.stop();
    });
    work(10_000);
  },
  // In workers:
  busy: () => {
    require('node:worker_threads').parentPort.postMessage(1);
    forever();
  },
  worker: () => {
    profiler.start();
    withLabels({ task: 'w' }, () => {
      work(20_000);
      profiler.collect();
      ends[end]();
    });
  },
};
if (isMainThread) process.disconnect?.();
states[state]();
