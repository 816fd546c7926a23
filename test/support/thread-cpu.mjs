/** The CPU time of the main thread and of bursts of work, as the kernel counts it. */

import { openSync, readFileSync, readSync } from 'node:fs';

/**
 * CPU time of the main thread in nanoseconds, up to a kernel tick late.
 * Format: https://docs.kernel.org/scheduler/sched-stats.html#proc-pid-schedstat
 */
export function mainThreadNanos() {
  return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')[0]);
}

/** The same of the thread that calls it, a worker or not. */
export function thisThreadNanos() {
  return Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0]);
}

const buffer = Buffer.alloc(64);
let file;

/** For Node.js before 23.9. */
function readSchedstat() {
  file ??= openSync('/proc/thread-self/schedstat');
  return Number.parseInt(buffer.latin1Slice(0, readSync(file, buffer, 0, buffer.length, 0)), 10);
}

/**
 * Returns the CPU time of the calling thread in nanoseconds, exact to some µs, which a call costs.
 * The kernel's numbers are up to a tick late, but getrusage() of the process updates the time of its
 * caller (task_sched_runtime in kernel/sched/core.c).
 */
export function threadNanos() {
  process.cpuUsage();
  if (process.threadCpuUsage === undefined) return readSchedstat();
  const { user, system } = process.threadCpuUsage();
  return (user + system) * 1_000;
}

/** CPU time of the whole process in microseconds. */
export function processMicros() {
  const { user, system } = process.cpuUsage();
  return user + system;
}
