/** The CPU time of the main thread and of bursts of work, as the kernel counts it. */

import { readFileSync } from 'node:fs';

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

/** CPU time of the whole process in microseconds. */
export function processMicros() {
  const { user, system } = process.cpuUsage();
  return user + system;
}
