/** Profiles a process that `otelpyroscope run` has started: labels and sampling on from its first line to its end. */
import { existsSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { CpuProfiler } from '../profiler/cpu-profiler.js';
import { startLiveViewer } from '../viewer-server/live-viewer.js';
import { resolveCpuProfilerOptions } from '../options/options.js';
import { readRegisterEnvironment } from '../options/pyroscope.js';
import { passRunSettings, readRunSettings, type RunSettings } from '../options/run-settings.js';
import { profileWindows, type ProfileWindow } from '../profiler/profile-windows.js';
import { startViewer } from '../viewer-server/server.js';
import { register } from '../otel/register.js';
import { isRunning } from '../util/processes.js';
import { CPU_PROFILE } from '../util/profile-types.js';
import { threadSingleton } from '../util/thread-singleton.js';
import { beforeEnd } from './ending-signals.js';
import { refusedClock } from '../util/sample-clock.js';
import { printMessage } from './messages.js';
import { OwnPart } from './parts.js';

/** Another copy of the package may have been loaded by an `otelpyroscope run` further up. */
const state = threadSingleton('run.v1', () => ({ isStarted: false }));

if (!state.isStarted) {
  state.isStarted = true;
  // A worker takes part in the profile of its process.
  if (isMainThread) start(readRunSettings());
  else register(readRegisterEnvironment().labels);
}

function start(own: RunSettings | undefined): void {
  // Where `run` has ended, so has its folder: what its program has left behind starts this process.
  if (own === undefined || !existsSync(own.folder)) return;
  try {
    const part = new OwnPart(own.folder, own.isTop);
    const below = { ...own, isTop: false };
    if (own.isExcluded) {
      part.record({ excluded: 'child' });
      recordEnd(part);
    } else {
      register(readRegisterEnvironment().labels);
      const isFirst = !part.isPackageManager && part.claimFirst();
      passRunSettings({ ...below, isExcluded: isFirst && !own.children });
      profileToTheEnd(part, own);
      if (own.serve && isFirst) serveLive(own);
    }
  } catch (error) {
    // The program runs all the same.
    printMessage(`no profile: ${(error as Error).message}`);
  }
}

function profileToTheEnd(part: OwnPart, settings: RunSettings): void {
  const { intervalMicros, clock } = settings;
  let window: ProfileWindow;
  try {
    window = profileWindows.open(resolveCpuProfilerOptions({ intervalMicros, clock }));
  } catch (error) {
    part.record({ excluded: 'failed', reason: (error as Error).message });
    recordEnd(part);
    return;
  }
  part.record({ state: 'running' });
  let written: 'not' | 'begun' | 'done' = 'not';
  /** Returns whether the process may end. An interrupt may call this in the middle of anything. */
  const finish = (): boolean => {
    if (written === 'not' && !profileWindows.isBusy) {
      written = 'begun';
      writePart(part, settings, window);
      written = 'done';
    }
    return written === 'done';
  };
  if (!beforeEnd(finish, settings.isTop ? settings.runner : undefined)) {
    printMessage('the system refuses a thread: a signal will end the program without a profile');
  }
}

function writePart(
  part: OwnPart,
  { folder, runner, clock: asked }: RunSettings,
  window: ProfileWindow,
): void {
  // Without its folder, `run` has ended before.
  if (!existsSync(folder)) return;
  try {
    const metrics = profileWindows.metrics();
    part.record({ state: 'ending', clock: metrics.clock ?? 'tick' });
    const refusal = refusedClock(asked, metrics);
    if (refusal !== undefined) printMessage(refusal);
    part.writeProfile(profileWindows.closeSync(window));
    const { droppedSamples = 0 } = profileWindows.metrics();
    part.record({ state: 'ended', cpuMicros: cpuMicros(), droppedSamples });
    if (!isRunning(runner.pid, runner.startTime)) {
      printMessage(`run has been killed; the profile of this process is ${part.file}`);
    }
  } catch (error) {
    printMessage(`the profile is lost: ${(error as Error).message}`);
  }
}

/** Records the CPU of a process that is not profiled. */
function recordEnd(part: OwnPart): void {
  process.on('exit', () => {
    try {
      part.record({ state: 'ended', cpuMicros: cpuMicros() });
    } catch {
      // Without its folder, `run` has ended before.
    }
  });
}

function cpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
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
