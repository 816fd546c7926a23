/** `otelpyroscope run`: runs a program with labels and sampling on, otherwise as it would run without. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { DEFAULT_INTERVAL_MICROS } from '../options/options.js';
import { environmentForRun } from '../options/run-settings.js';
import { sleep } from '../util/clock.js';
import { CPU_PROFILE } from '../util/profile-types.js';
import { statOf } from '../util/processes.js';
import { CommandError } from './arguments.js';
import { mergeParts, outcomeOf } from './merge-parts.js';
import { watchLauncher } from './launcher.js';
import { printMessage } from './messages.js';
import { isAlive, readParts, type Part } from './parts.js';
import type { Program } from './program.js';
import { parseRun } from './run-arguments.js';
import { leftOut } from './summary.js';
import { writeProfile } from './written-profile.js';

export const RUN_HELP = `Usage: otelpyroscope run [options] [options of node] program [args]

Runs a program with span labels and CPU sampler on from its first line, and
writes its profile when it ends, with all Node.js processes that it starts.
The program is what you type after "node" (server.js, a folder, TypeScript where
this Node.js runs it), or a command: node, npm, npx, tsx, vitest, a script.

  --out FILE          default: the program's name with .${CPU_PROFILE.fileName}, here;
                      in a folder, if FILE is one
  --interval MICROS   CPU time between samples, default ${String(DEFAULT_INTERVAL_MICROS)}
  --clock CLOCK       when samples are taken: at ticks of the scheduler, every
                      1 to 10 ms ("tick"), or when the CPU time is used ("perf",
                      "precise"); "auto" (the default) is perf or tick
  --no-children       only the program's first Node.js process
  --serve             a live view of that process in the browser while it runs
  --span-name-scope SCOPE, --span-id-scope SCOPE
                      the span that these labels describe: none, root, all

With --enable-source-maps the profile has the original files and lines.
`;

/** Signals that are forwarded to the program, except those that the terminal has sent to it too. */
const SIGNALS: readonly NodeJS.Signals[] = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGTERM',
  'SIGUSR1',
  'SIGUSR2',
];
const TERMINAL_SIGNALS: readonly NodeJS.Signals[] = ['SIGHUP', 'SIGINT', 'SIGQUIT'];

/**
 * How long processes may take to end that run when the program has ended, in milliseconds: those
 * that a signal ends with it. One that writes its profile by then may take longer.
 */
const END_MS = 1_000;
const WRITE_MS = 10_000;
const POLL_MS = 25;

/** Resolves to the program's exit code. If a signal ended the program, it ends this process too. */
export async function run(args: readonly string[]): Promise<number> {
  const { program, out, intervalMicros, clock, serve, children, variables } = parseRun(args);
  const folder = mkdtempSync(path.join(os.tmpdir(), 'otelpyroscope-run-'));
  const settings = {
    ...{ folder, intervalMicros, clock, serve, children, isExcluded: false, isTop: true },
    runner: { pid: process.pid, startTime: statOf('self')?.startTime ?? '' },
  };
  const preload = path.join(__dirname, 'preload.js');
  // `parseRun` may have run Node.js to read its list of options.
  const microsBefore = childrenCpuMicros();
  try {
    const child = spawn(program.file, program.args, {
      stdio: 'inherit',
      env: environmentForRun(settings, preload, variables),
    });
    const forwarded = forwardSignals(child);
    const [code, signal] = await endOf(child, program);
    const allMicros = childrenCpuMicros() - microsBefore;
    await waitForOthers(folder, forwarded.signal);
    await report(folder, { out, intervalMicros, allMicros });
    return signal === null ? (code ?? 1) : endBy(signal);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function childrenCpuMicros(): number {
  return statOf('self')?.childrenCpuMicros ?? 0;
}

async function endOf(
  child: ChildProcess,
  { file }: Program,
): Promise<[number | null, NodeJS.Signals | null]> {
  try {
    return (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CommandError(`cannot run ${file}: ${message}`, code === 'ENOENT' ? 127 : 126);
  }
}

/** Ends this process by the signal. Returns the exit code of shells, where the system ignores it. */
function endBy(signal: NodeJS.Signals): number {
  process.on('exit', () => {
    for (const each of SIGNALS) process.removeAllListeners(each);
    process.kill(process.pid, signal);
  });
  return 128 + os.constants.signals[signal];
}

/**
 * Forwards signals, and the end of the package manager that has started this process. Returns an
 * object that has the last one.
 */
function forwardSignals(child: ChildProcess): { signal?: NodeJS.Signals } {
  const forwarded: { signal?: NodeJS.Signals } = {};
  const forward = (signal: NodeJS.Signals): void => {
    forwarded.signal = signal;
    child.kill(signal);
  };
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      const isSent = TERMINAL_SIGNALS.includes(signal) && isForeground();
      if (!isSent) forward(signal);
    });
  }
  watchLauncher((name) => {
    printMessage(`${name} has ended, and so ends the program`);
    forward('SIGTERM');
  });
  return forwarded;
}

/** Whether the terminal sends its signals to this process, and so to the program too. */
function isForeground(): boolean {
  return statOf('self')?.isForeground ?? process.stdin.isTTY;
}

/**
 * Waits a short time for the other processes to end. Those on top get the signal that was forwarded
 * to the program: a shell ends without its child.
 */
async function waitForOthers(folder: string, signal: NodeJS.Signals | undefined): Promise<void> {
  const isSignalled = ({ record }: Part): boolean => signal !== undefined && record.isTop;
  for (let waited = 0; waited < WRITE_MS; waited += POLL_MS) {
    const alive = readParts(folder).filter(isAlive);
    if (waited === 0) for (const part of alive.filter(isSignalled)) send(part, signal);
    const isAwaited = alive.some((part) => part.record.state === 'ending' || isSignalled(part));
    if (alive.length === 0 || (waited >= END_MS && !isAwaited)) return;
    await sleep(POLL_MS);
  }
}

function send({ record }: Part, signal: NodeJS.Signals | undefined): void {
  try {
    process.kill(record.pid, signal);
  } catch {
    // It has ended, or runs as another user.
  }
}

interface Ended {
  readonly out: string;
  readonly intervalMicros: number;
  /** CPU of all processes that have ended. */
  readonly allMicros: number;
}

async function report(folder: string, { out, intervalMicros, allMicros }: Ended): Promise<void> {
  const parts = readParts(folder);
  const outcome = outcomeOf(parts, allMicros);
  if (parts.length === 0) {
    printMessage('there is no profile: no Node.js process was started');
    return;
  }
  try {
    if (outcome.included.length === 0) {
      printMessage('there is no profile');
    } else {
      const clocks = outcome.included.map(({ record }) => record.clock ?? 'tick');
      const bytes = mergeParts(outcome.included, intervalMicros);
      await writeProfile(out, bytes, { intervalMicros, clocks });
    }
    for (const line of leftOut(outcome)) printMessage(line);
  } catch (error) {
    printMessage(`the profile is lost: ${(error as Error).message}`);
  }
}
