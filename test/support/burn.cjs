/**
 * Burns CPU under one name, as long as it takes a profiler to see it. In CommonJS, for the children
 * that require() it: Node.js before 20.19 can require() no ES module.
 */

const { CpuProfiler } = require('otelpyroscope');

/** Never started: all profilers of a thread share the counts of its sampler. */
const counts = new CpuProfiler();
/** Far more than a machine that does nothing else ever needs. */
const MAX_ROUNDS = 30;

const made = [];

// V8 does not list code that it has replaced on the stack: a loop that is hot before the start
// would be such code, many calls of a short function are not.
function allocate() {
  for (let i = 0; i < 50; i++) made[Math.floor(Math.random() * 1e3)] = { at: new Date() };
}

function cpuMicros() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** Uses so much CPU time, not the clock's: the machine may be busy with something else. */
function burn(millis) {
  const end = cpuMicros() + millis * 1_000;
  while (cpuMicros() < end) allocate();
}

/**
 * The same while a profiler runs, and until it has had about a signal per 10 ms. The kernel looks
 * at CPU timers on its ticks only: beside other busy processes, short work can fall between them.
 */
function burnSampled(millis) {
  const { signals } = counts.metrics();
  for (let round = 0; round < MAX_ROUNDS; round++) {
    burn(millis);
    if (counts.metrics().signals - signals >= millis / 10) return;
  }
}

module.exports = { burn, burnSampled };
