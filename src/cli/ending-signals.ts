/** Lets a program write its profile before a signal ends it, also where it is in an endless loop. */
import os from 'node:os';
import { openNativeEnd } from '../addon/loader.js';
import { cacheHome } from '../options/options.js';
import type { RunSettings } from '../options/run-settings.js';
import { isRunning } from '../util/processes.js';

/** Signals that are sent to a program to end it, such as by nodemon, and that it can listen to. */
const ENDING_SIGNALS: readonly NodeJS.Signals[] = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGTERM',
  'SIGUSR2',
];

/**
 * Calls `finish` at the `exit` event, and before the default action of a signal ends the program; see
 * `NativeEnd`. While the program listens to the signal, nothing of ours is called. If `runner` is
 * given, the program gets SIGTERM when that process has ended. Returns false if the system refuses
 * what the signals need.
 */
export function beforeEnd(
  finish: () => boolean,
  runner: RunSettings['runner'] | undefined,
): boolean {
  const native = openNativeEnd(cacheHome());
  // After the event, Node.js may wait for a worker in native code: then a signal ends the process.
  process.on('exit', () => {
    if (finish()) native.setFinished();
  });
  // In a container of its own, a process cannot see the one that has started it.
  const watched = runner !== undefined && isRunning(runner.pid, runner.startTime);
  const { pid, startTime } = watched ? runner : { pid: 0, startTime: '0' };
  if (!native.watchEnd(finish, pid, Number(startTime))) return false;
  const numbers: ReadonlyMap<string | symbol, number> = new Map(
    ENDING_SIGNALS.map((signal) => [signal, os.constants.signals[signal]]),
  );
  const catchUnlistened = (event: string | symbol): void => {
    const number = numbers.get(event);
    if (number !== undefined && process.listenerCount(event) === 0) native.catchSignal(number);
  };
  // Modules that were loaded before may listen, and Node.js itself (--report-on-signal).
  for (const signal of ENDING_SIGNALS) catchUnlistened(signal);
  process.on('removeListener', catchUnlistened);
  return true;
}
