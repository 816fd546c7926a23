/** Finds the package manager that has started `run`, which should end with it. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { startTimer } from '../util/clock.js';
import { isRunning, statOf } from '../util/processes.js';
import { isPackageManager } from './parts.js';

const POLL_MS = 500;
/** Shells between the package manager and this process. */
const MAX_SHELLS = 3;

/** A running process. */
interface Launcher {
  readonly pid: number;
  readonly startTime: string;
  /** Such as "npx". */
  readonly name: string;
}

/** Calls `onEnd` with its name when the package manager has ended. Without one, does nothing. */
export function watchLauncher(onEnd: (name: string) => void): void {
  const launcher = findLauncher();
  if (launcher === undefined) return;
  const check = (): void => {
    if (isRunning(launcher.pid, launcher.startTime)) startTimer(check, POLL_MS).unref();
    else onEnd(launcher.name);
  };
  check();
}

/**
 * Returns the package manager that has started this process, itself or by `sh -c`. From a shell in
 * a terminal there is none: a program in the background goes on when that ends.
 */
function findLauncher(): Launcher | undefined {
  let pid = process.ppid;
  for (let shells = 0; shells <= MAX_SHELLS; shells++) {
    const stat = statOf(pid);
    if (stat === undefined) return undefined;
    const words = commandLine(pid);
    // npm writes "npm exec otelpyroscope run server.js" there.
    const name = words.slice(0, 2).find(isPackageManager);
    if (name !== undefined) return { pid, startTime: stat.startTime, name: path.parse(name).name };
    if (!/^(ba|da|a)?sh$/.test(path.basename(words[0] ?? '')) || words[1] !== '-c')
      return undefined;
    pid = stat.parent;
  }
  return undefined;
}

function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${String(pid)}/cmdline`, 'utf8').split(/[\0 ]+/);
  } catch {
    return [];
  }
}
