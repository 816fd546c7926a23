/** Lets a program write its profile before a signal ends it. */

/** Signals that are sent to a program to end it, such as by nodemon, and that it can listen to. */
export const ENDING_SIGNALS: readonly NodeJS.Signals[] = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGTERM',
  'SIGUSR2',
];

/**
 * Calls `finish` before the signal's default action ends the program. While the program listens to
 * the signal, our listener is removed: programs count listeners to decide whether they must exit.
 */
export function beforeDefault(signal: NodeJS.Signals, finish: () => void): void {
  let ending = false;
  const listener = (): void => {
    finish();
    ending = true;
    process.removeListener(signal, listener);
    process.kill(process.pid, signal);
  };
  // Those of modules that were loaded before, and of Node.js itself (--report-on-signal).
  if (process.listenerCount(signal) === 0) process.on(signal, listener);
  process.on('newListener', (event, added) => {
    if (event !== signal || added === listener) return;
    // Not at once: the program's listener is not added yet, and Node.js stops to watch a signal
    // when its last listener is removed.
    void Promise.resolve().then(() => {
      if (process.listenerCount(signal) > 1) process.removeListener(signal, listener);
    });
  });
  process.on('removeListener', (event, removed) => {
    if (event !== signal || removed === listener || ending) return;
    if (process.listenerCount(signal) === 0) process.on(signal, listener);
  });
}
