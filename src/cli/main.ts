#!/usr/bin/env node
/** The command `otelpyroscope`: runs a subcommand, and converts errors to exit codes. */
import { suggestion } from '../options/suggestions.js';
import { VERSION } from '../util/version.js';
import { CommandError, UsageError } from './arguments.js';
import { attach, ATTACH_HELP } from './attach.js';
import { build, BUILD_HELP } from './build.js';
import { printMessage } from './messages.js';
import { run, RUN_HELP } from './run.js';
import { top, TOP_HELP } from './top.js';
import { view, VIEW_HELP } from './view.js';

const HELP = `Usage: otelpyroscope COMMAND [options]

  run [options] program [args]      runs a program and writes its CPU profile
  attach PID [options]              profiles a process that runs already
  top FILE [options]                prints where the CPU of a profile went
  view FILE|URL [options]           opens a profile in the browser
  build                             compiles the native binary for this Node.js

  help COMMAND                      lists the options of a command
  --version                         prints the version
`;

interface Command {
  readonly run: (args: readonly string[]) => Promise<number>;
  readonly help: string;
}

const commands = new Map<string, Command>([
  ['run', { run, help: RUN_HELP }],
  ['attach', { run: attach, help: ATTACH_HELP }],
  ['top', { run: top, help: TOP_HELP }],
  ['view', { run: view, help: VIEW_HELP }],
  ['build', { run: build, help: BUILD_HELP }],
]);

/** Resolves to 0 for success, 1 for failure, 2 for wrong usage; `run` ends like its program. */
async function main(args: readonly string[]): Promise<number> {
  const [name = '', ...rest] = args;
  const command = commands.get(name);
  if (['--version', '-v', 'version'].includes(name)) {
    process.stdout.write(`${VERSION}\n`);
    return 0;
  }
  if (['--help', '-h', 'help'].includes(name)) return help(rest[0]);
  if (command === undefined) return name === '' ? printUsage() : printUnknown(name);
  // Only the first argument: those after the program's name belong to the program.
  if (['--help', '-h'].includes(rest[0] ?? '')) {
    process.stdout.write(command.help);
    return 0;
  }
  try {
    return await command.run(rest);
  } catch (error) {
    if (error instanceof UsageError) {
      printMessage(`${error.message}\nSee: otelpyroscope help ${name}`);
      return 2;
    }
    if (!(error instanceof CommandError)) throw error;
    printMessage(error.message);
    return error.exitCode;
  }
}

function help(name: string | undefined): number {
  const command = name === undefined ? undefined : commands.get(name);
  if (name !== undefined && command === undefined) return printUnknown(name);
  process.stdout.write(command?.help ?? HELP);
  return 0;
}

function printUsage(): number {
  process.stderr.write(HELP);
  return 2;
}

function printUnknown(name: string): number {
  const meant = suggestion(name, [...commands.keys()]);
  process.stderr.write(`otelpyroscope: no command "${name}"${meant}\nSee: otelpyroscope --help\n`);
  return 2;
}

// `otelpyroscope top … | head` closes the pipe before all is written.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  process.stderr.write(`otelpyroscope: the output could not be written: ${error.message}\n`);
  process.exit(1);
});
void main(process.argv.slice(2)).then((code) => {
  process.exitCode = code;
});
