/** Loaded by `otelpyroscope run` before the program: starts labels and sampling, and writes the profile at the end. */
import { isMainThread } from 'node:worker_threads';
import { CpuProfiler } from '../profiler/cpu-profiler.js';
import { startLiveViewer } from '../viewer-server/live-viewer.js';
import {
  resolveCpuProfilerOptions,
  takeRunSettings,
  type RunSettings,
} from '../options/options.js';
import { profileWindows } from '../profiler/profile-windows.js';
import { startViewer } from '../viewer-server/server.js';
import { register } from '../otel/register.js';
import { CPU_PROFILE } from '../util/profile-types.js';
import { writeWholeFileSync } from '../util/whole-file.js';

/** Signals that are sent to a program to end it, such as by nodemon, and that it can listen to. */
const ENDING_SIGNALS: readonly NodeJS.Signals[] = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGTERM',
  'SIGUSR2',
];

register();
// Workers inherit --require, and loading the package makes them take part. Processes that the
// program forks inherit it too, but not the settings: they are not profiled.
const settings = isMainThread ? takeRunSettings() : undefined;
if (settings !== undefined) {
  try {
    profileToTheEnd(settings);
    if (settings.serve) serveLive(settings);
  } catch (error) {
    // The program runs all the same.
    printMessage(`no profile: ${(error as Error).message}`);
  }
}

function profileToTheEnd({ out, intervalMicros, clock }: RunSettings): void {
  const window = profileWindows.open(resolveCpuProfilerOptions({ intervalMicros, clock }));
  if (profileWindows.metrics().clock !== clock) {
    printMessage(`the system refused the clock "${clock}": samples are taken at its ticks`);
  }
  let written = false;
  const finish = (): void => {
    if (written) return;
    written = true;
    try {
      writeWholeFileSync(out, profileWindows.closeSync(window));
    } catch (error) {
      printMessage(`the profile is lost: ${(error as Error).message}`);
    }
  };
  process.on('exit', finish);
  for (const signal of ENDING_SIGNALS) beforeDefault(signal, finish);
}

/**
 * Calls `finish` before the signal's default action ends the program. While the program listens to
 * the signal, our listener is removed: programs count listeners to decide whether they must exit.
 */
function beforeDefault(signal: NodeJS.Signals, finish: () => void): void {
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

function serveLive({ intervalMicros, clock }: RunSettings): void {
  const profiler = new CpuProfiler({ intervalMicros, clock });
  const { source } = startLiveViewer(CPU_PROFILE, profiler, '127.0.0.1');
  startViewer(source, { keepAlive: false }).then(
    ({ url }) => {
      printMessage(`live view: ${url}`);
    },
    (error: unknown) => {
      printMessage(`no live view: ${(error as Error).message}`);
    },
  );
}

function printMessage(text: string): void {
  process.stderr.write(`otelpyroscope: ${text}\n`);
}
