/** Reads what Linux reports of processes: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
import { readFileSync } from 'node:fs';

/** Microseconds of a clock tick: 100 a second on every architecture that has a binary. */
const TICK_MICROS = 10_000;

/** A part of `/proc/PID/stat`. */
export interface ProcessStat {
  /** Whether it has ended, and its parent has not asked how. */
  readonly isZombie: boolean;
  /** Whether a signal has stopped it. */
  readonly isStopped: boolean;
  readonly parent: number;
  /** Whether it is in the foreground of its terminal. */
  readonly isForeground: boolean;
  /** CPU of the processes below it that have ended and were waited for. */
  readonly childrenCpuMicros: number;
  /** When it was started; with the process id it denotes one process. */
  readonly startTime: string;
}

/** Returns undefined if there is no such process, or no `/proc`. */
export function statOf(pid: number | 'self'): ProcessStat | undefined {
  try {
    const text = readFileSync(`/proc/${String(pid)}/stat`, 'latin1');
    // The name in parentheses may contain anything. The fields behind it begin with the third.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const field = (number: number): string => fields[number - 3] as string;
    return {
      isZombie: field(3) === 'Z',
      isStopped: field(3) === 'T',
      parent: Number(field(4)),
      isForeground: field(5) === field(8),
      childrenCpuMicros: (Number(field(16)) + Number(field(17))) * TICK_MICROS,
      startTime: field(22),
    };
  } catch {
    return undefined;
  }
}

/** Whether the process that was started then still runs. */
export function isRunning(pid: number, startTime: string): boolean {
  const stat = statOf(pid);
  return stat?.startTime === startTime && !stat.isZombie;
}
