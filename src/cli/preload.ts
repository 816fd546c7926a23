/** What `otelpyroscope run` loads into the program before its first line: labels, sampler, and the profile at the end. */
import { writeFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { CpuProfiler } from '../profiler/cpu-profiler.js';
import { startLiveViewer } from '../viewer-server/live-viewer.js';
import {
  resolveCpuProfilerOptions,
  takeRunSettings,
  type RunSettings,
} from '../options/options.js';
import { sharedSampler } from '../profiler/profile-windows.js';
import { startViewer } from '../viewer-server/server.js';
import { register } from '../otel/register.js';
import { CPU_PROFILE } from '../util/profile-types.js';

/** Signals that end a program that does not listen to them, and that it could listen to. */
const ENDING_SIGNALS: readonly NodeJS.Signals[] = ['SIGHUP', 'SIGINT', 'SIGTERM'];

register();
// Workers inherit --require: loading the sampler makes them take part. Processes that the program
// forks inherit it too, but no settings: they are not profiled.
const settings = isMainThread ? takeRunSettings() : undefined;
if (settings !== undefined) {
  try {
    profileToTheEnd(settings);
    if (settings.serve) serveLive(settings);
  } catch (error) {
    // The program runs all the same.
    say(`no profile: ${(error as Error).message}`);
  }
}

function profileToTheEnd({ out, intervalMicros }: RunSettings): void {
  const window = sharedSampler.open(resolveCpuProfilerOptions({ intervalMicros }));
  let written = false;
  const finish = (): void => {
    if (written) return;
    written = true;
    try {
      writeFileSync(out, sharedSampler.closeSync(window));
    } catch (error) {
      say(`the profile is lost: ${(error as Error).message}`);
    }
  };
  process.on('exit', finish);
  for (const signal of ENDING_SIGNALS) beforeDefault(signal, finish);
}

/**
 * Calls `finish` before the signal ends the program by default. Where the program listens to the
 * signal, ours is taken away: programs count the listeners to see whether it is theirs to end.
 */
function beforeDefault(signal: NodeJS.Signals, finish: () => void): void {
  let ending = false;
  const listener = (): void => {
    finish();
    ending = true;
    process.removeListener(signal, listener);
    process.kill(process.pid, signal);
  };
  process.on(signal, listener);
  process.on('newListener', (event, added) => {
    if (event !== signal || added === listener) return;
    // Not at once: Node.js lets go of a signal with its last listener, and the other is not there yet.
    queueMicrotask(() => {
      if (process.listenerCount(signal) > 1) process.removeListener(signal, listener);
    });
  });
  process.on('removeListener', (event, removed) => {
    if (event !== signal || removed === listener || ending) return;
    if (process.listenerCount(signal) === 0) process.on(signal, listener);
  });
}

function serveLive({ intervalMicros }: RunSettings): void {
  const profiler = new CpuProfiler({ intervalMicros });
  const { source } = startLiveViewer(CPU_PROFILE, profiler, '127.0.0.1');
  startViewer(source, { keepAlive: false }).then(
    ({ url }) => {
      say(`live view: ${url}`);
    },
    (error: unknown) => {
      say(`no live view: ${(error as Error).message}`);
    },
  );
}

function say(text: string): void {
  process.stderr.write(`otelpyroscope: ${text}\n`);
}
