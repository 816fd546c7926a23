/** `otelpyroscope run`: runs a program with labels and sampling on, otherwise as `node` would. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, realpathSync, renameSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import {
  CLOCKS,
  DEFAULT_CLOCK,
  DEFAULT_INTERVAL_MICROS,
  environmentForRun,
  MAX_INTERVAL_MICROS,
  MIN_INTERVAL_MICROS,
} from '../options/options.js';
import { CPU_PROFILE } from '../util/profile-types.js';
import { temporaryNameOf } from '../util/whole-file.js';
import { CommandError, parseCommand, UsageError, wholeNumber } from './arguments.js';
import { readProfileFile } from './load-profile.js';
import { summary } from './summary.js';

export const RUN_HELP = `Usage: otelpyroscope run [options] program.js [args]

Runs a program with span labels and CPU sampler on from its first line, and
writes its profile when it ends. The program may be CommonJS, ESM, TypeScript
where this Node.js runs it, or the name of a command in node_modules/.bin.

  --out FILE          default: the program's name with .${CPU_PROFILE.fileName}, here
  --interval MICROS   CPU time between samples, default ${String(DEFAULT_INTERVAL_MICROS)}
  --clock CLOCK       when samples are taken: "tick" (the default), at ticks of
                      the scheduler, every 1 to 10 ms; or "precise"
  --serve             a live view in the browser while it runs

For options of Node.js itself, use NODE_OPTIONS. With --enable-source-maps the
profile has the original files and lines.
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
/** This many Ctrl-C kill a program that does not react, such as one in an endless loop. */
const INTERRUPTS_TO_KILL = 3;

/** Resolves to the program's exit code. If a signal ended the program, it ends this process too. */
export async function run(args: readonly string[]): Promise<number> {
  const at = programAt(args);
  const { values } = parseCommand(args.slice(0, at), {
    out: { type: 'string' },
    interval: { type: 'string' },
    clock: { type: 'string', default: DEFAULT_CLOCK },
    serve: { type: 'boolean', default: false },
  });
  const [name, ...programArguments] = args.slice(at);
  if (name === undefined) throw new UsageError('run needs a program');
  const intervalMicros =
    values.interval === undefined
      ? DEFAULT_INTERVAL_MICROS
      : wholeNumber('--interval', values.interval, MIN_INTERVAL_MICROS, MAX_INTERVAL_MICROS);
  const clock = CLOCKS.find((each) => each === values.clock);
  if (clock === undefined) {
    throw new UsageError(`--clock must be ${CLOCKS.join(' or ')}, got "${values.clock}"`);
  }
  const program = findProgram(name);
  const out = path.resolve(values.out ?? `${path.parse(name).name}.${CPU_PROFILE.fileName}`);
  if (!existsSync(path.dirname(out))) {
    throw new CommandError(`cannot write ${out}: there is no such folder`);
  }
  // A file beside `out` first: if the program is killed, an earlier profile stays as it was.
  const part = `${out}.${String(process.pid)}.part`;

  const preload = path.join(__dirname, 'preload.js');
  const flags = [...process.execArgv, '--require', preload];
  const child = spawn(process.execPath, [...flags, program, ...programArguments], {
    stdio: 'inherit',
    env: environmentForRun({ out: part, intervalMicros, clock, serve: values.serve }),
  });
  passSignals((signal) => child.kill(signal));
  const [code, signal] = (await once(child, 'exit').catch((error: unknown) => {
    throw new CommandError(`cannot run ${program}: ${(error as Error).message}`);
  })) as [number | null, NodeJS.Signals | null];

  await report(part, out);
  if (signal !== null) {
    for (const each of SIGNALS) process.removeAllListeners(each);
    process.kill(process.pid, signal);
    // Reached only if the signal is blocked.
    return 1;
  }
  return code ?? 1;
}

/** The options that are followed by a value. */
const VALUE_OPTIONS: readonly (string | undefined)[] = ['--out', '--interval', '--clock'];

/** Returns the index of the first argument that is neither an option nor an option's value. */
function programAt(args: readonly string[]): number {
  for (let at = 0; at < args.length; at++) {
    const argument = args[at] as string;
    if (argument === '--') return at + 1;
    if (VALUE_OPTIONS.includes(argument)) at++;
    else if (!argument.startsWith('-')) return at;
  }
  return args.length;
}

/** Returns `name` if it is a file, else the command of that name in node_modules/.bin, here or above. */
function findProgram(name: string): string {
  if (existsSync(name) && statSync(name).isFile()) return readable(name);
  if (!name.includes(path.sep)) {
    for (let folder = process.cwd(); ; folder = path.dirname(folder)) {
      const command = path.join(folder, 'node_modules', '.bin', name);
      // npm's commands are links to scripts, which find their modules by their real path.
      if (existsSync(command)) return readable(realpathSync(command));
      if (folder === path.dirname(folder)) break;
    }
  }
  // Node.js resolves the rest, such as "server" for "server.js", or a folder with a package.json.
  return name;
}

/** Returns `file`. Throws a CommandError if it begins like a script of another language. */
function readable(file: string): string {
  const [first = ''] = readFileSync(file, 'latin1').slice(0, 256).split('\n', 1);
  if (first.startsWith('#!') && !/\b(node|nodejs|tsx|ts-node|bun|deno)\b/.test(first)) {
    throw new CommandError(`${file} is no program for Node.js (${first})`);
  }
  return file;
}

function passSignals(send: (signal: NodeJS.Signals) => void): void {
  let interrupts = 0;
  for (const signal of SIGNALS) {
    process.on(signal, () => {
      const sent = TERMINAL_SIGNALS.includes(signal) && isForeground();
      if (!sent) send(signal);
      if (signal !== 'SIGINT') return;
      interrupts++;
      if (interrupts === INTERRUPTS_TO_KILL) send('SIGKILL');
      else if (interrupts === INTERRUPTS_TO_KILL - 1) {
        printMessage(
          'the program does not end; Ctrl-C once more kills it, and there will be no profile',
        );
      }
    });
  }
}

/** Returns whether the terminal sends its signals to this process, and so to the program too. */
function isForeground(): boolean {
  try {
    // Fields behind the name in parentheses: state, parent, group, session, terminal, its group.
    const fields = readFileSync('/proc/self/stat', 'latin1')
      .replace(/^.*\) /s, '')
      .split(' ');
    return fields[2] === fields[5];
  } catch {
    return process.stdin.isTTY;
  }
}

async function report(part: string, out: string): Promise<void> {
  if (!existsSync(part)) {
    // The program was killed while it wrote the profile.
    rmSync(temporaryNameOf(part), { force: true });
    printMessage('there is no profile');
    return;
  }
  try {
    renameSync(part, out);
    const profile = await readProfileFile(out);
    const colours = process.stderr.isTTY && process.stderr.hasColors();
    process.stderr.write(`\n${summary(profile, colours)}\n`);
    printMessage(`profile: ${out}`);
    process.stderr.write(`  otelpyroscope view ${path.relative(process.cwd(), out)}\n`);
  } catch (error) {
    printMessage((error as Error).message);
  }
}

function printMessage(text: string): void {
  process.stderr.write(`otelpyroscope: ${text}\n`);
}
