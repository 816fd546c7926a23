/** The demo's service: a small shop under its own CPU profiler, driven over IPC by demo.mjs. */

'use strict';

const { provider, spanLog } = require('./tracing.cjs');
const { CpuProfiler } = require('otelpyroscope');
const { createShop } = require('./shop.cjs');

// 4 ms is the finest step of CPU timers on kernels with 250 ticks a second. The default of 10 ms
// is enough for a service that runs for hours; the demo shows single requests after seconds.
const profiler = new CpuProfiler({ intervalMicros: 4_000 });
const server = createShop().listen(0, '127.0.0.1', listening);
let cpuAtStart;

function listening(error) {
  if (error) throw error;
  process.send({ type: 'listening', port: server.address().port });
}

const commands = {
  start() {
    profiler.start();
    cpuAtStart = process.cpuUsage();
    process.send({ type: 'started' });
  },

  status() {
    process.send({ type: 'status', cpuMicros: cpuMicros(), spans: spanLog.spans.length });
  },

  async stop() {
    const cpu = cpuMicros();
    const metrics = profiler.metrics();
    const profile = await profiler.stop();
    server.close();
    server.closeAllConnections();
    await provider.forceFlush();
    const { spans, dropped } = spanLog;
    process.send({ type: 'stopped', cpuMicros: cpu, profile, metrics, spans, dropped }, () =>
      process.disconnect(),
    );
  },
};

/** CPU that the whole process has used since the profile began, in microseconds. */
function cpuMicros() {
  const { user, system } = process.cpuUsage(cpuAtStart);
  return user + system;
}

process.on('message', (command) => void commands[command]());
