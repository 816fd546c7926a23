/** Finds the program that the arguments of `run` name, and how it is started. */
import {
  accessSync,
  constants,
  openSync,
  closeSync,
  readSync,
  realpathSync,
  statSync,
} from 'node:fs';
import path from 'node:path';
import { searchPath } from '../options/run-settings.js';
import { CommandError, UsageError } from './arguments.js';
import { nodeOptionLength, runsNoScript } from './node-options.js';

/** The program that `run` starts, and how. */
export interface Program {
  readonly file: string;
  readonly args: readonly string[];
  /** The name of the profile, without its ending. */
  readonly name: string;
}

/** Exit codes of shells. */
const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;
/** Options with which Node.js may find a program where there is no such file. */
const LOADERS = ['--import', '--loader', '--experimental-loader', '--require', '-r'];

/**
 * Finds the program as Node.js does, else the command in a `node_modules/.bin`, here or above, else
 * the one that a shell would run. Scripts and the commands in `.bin` run on this Node.js, with
 * `nodeOptions`. Throws a CommandError that says what is missing.
 */
export function findProgram(nodeOptions: readonly string[], command: readonly string[]): Program {
  const [name, ...args] = command;
  const options = [...process.execArgv, ...nodeOptions];
  const onThisNode = (script: string, title: string): Program => {
    return { file: process.execPath, args: [...options, script, ...args], name: title };
  };
  if (runsNoScript(nodeOptions)) {
    return { file: process.execPath, args: [...options, ...command], name: 'node' };
  }
  if (name === undefined) throw new UsageError('run needs a program');
  if (name === '-') return onThisNode(name, 'stdin');
  if (isNode(name)) {
    refuseOptions(name, nodeOptions);
    return { file: name, args, name: titleOf(scriptOf(args) ?? 'node') };
  }
  const found = isFile(name) ? name : findInBin(name);
  if (found !== undefined) {
    const interpreter = interpreterOf(found);
    if (interpreter === undefined) return onThisNode(realpathOf(found, name), titleOf(name));
    if (!isExecutable(found)) {
      throw new CommandError(
        `${name} is a script for ${interpreter}, and not executable`,
        NOT_EXECUTABLE,
      );
    }
    refuseOptions(name, nodeOptions);
    return { file: path.resolve(found), args, name: titleOf(name) };
  }
  if (
    resolves(name) ||
    nodeOptions.some((option) => LOADERS.includes(option.split('=', 1)[0] as string))
  ) {
    return onThisNode(name, titleOf(name));
  }
  if (name.includes(path.sep) || /\.[cm]?[jt]sx?$/.test(name)) {
    throw new CommandError(`there is no program ${path.resolve(name)}`);
  }
  if (!searchPath().some((folder) => isExecutable(path.join(folder, name)))) {
    throw new CommandError(
      `there is no program "${name}": no such file, no command of that name in node_modules/.bin or in PATH`,
      NOT_FOUND,
    );
  }
  refuseOptions(name, nodeOptions);
  return { file: name, args, name: titleOf(name) };
}

/** Only scripts that this Node.js runs get its options. */
function refuseOptions(name: string, nodeOptions: readonly string[]): void {
  if (nodeOptions.length === 0) return;
  throw new UsageError(
    `${nodeOptions.join(' ')} cannot be passed to ${name}, only to a script: use NODE_OPTIONS`,
  );
}

function isNode(name: string): boolean {
  return (
    /^node(js)?$/.test(path.basename(name)) && (!name.includes(path.sep) || isExecutable(name))
  );
}

/** Returns the script among the arguments of Node.js, if there is one. */
function scriptOf(args: readonly string[]): string | undefined {
  for (let at = 0; at < args.length;) {
    const argument = args[at] as string;
    if (!argument.startsWith('-')) return argument;
    if (runsNoScript([argument])) return undefined;
    at += Math.max(1, nodeOptionLength(argument));
  }
  return undefined;
}

/** Returns "server" for `src/server.js`, the name of the folder for `.`. */
function titleOf(name: string): string {
  return path.parse(path.resolve(name)).name || 'node';
}

function isFile(name: string): boolean {
  return statSync(name, { throwIfNoEntry: false })?.isFile() === true;
}

function isExecutable(file: string): boolean {
  if (!isFile(file)) return false;
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Whether Node.js finds a program of that name, such as "server" for "server.js", or a folder. */
function resolves(name: string): boolean {
  try {
    require.resolve(path.resolve(name));
    return true;
  } catch {
    return false;
  }
}

function findInBin(name: string): string | undefined {
  if (name.includes(path.sep)) return undefined;
  for (let folder = process.cwd(); ; folder = path.dirname(folder)) {
    const command = path.join(folder, 'node_modules', '.bin', name);
    if (isFile(command)) return command;
    if (folder === path.dirname(folder)) return undefined;
  }
}

/** npm's commands are links to scripts, which find their modules by their real path. */
function realpathOf(found: string, name: string): string {
  return found === name ? name : realpathSync(found);
}

/**
 * Returns the interpreter that the file names, or what kind of program it is; undefined if this
 * Node.js can run it.
 */
function interpreterOf(file: string): string | undefined {
  const head = headOf(file);
  if (head.startsWith('\x7fELF')) return 'the system';
  const [, line] = /^#!\s*([^\n]*)/.exec(head) ?? [];
  if (line === undefined || /\bnode(js)?\s*$/.test(line)) return undefined;
  // The line is for tsx or ts-node. A file that is not executable runs as a script of Node.js.
  if (/\.[cm]?[jt]sx?$/.test(file) && !isExecutable(file)) return undefined;
  return line.trim();
}

function headOf(file: string): string {
  const head = Buffer.alloc(256);
  try {
    const opened = openSync(file, 'r');
    try {
      return head.toString('latin1', 0, readSync(opened, head));
    } finally {
      closeSync(opened);
    }
  } catch (error) {
    throw new CommandError(`cannot read ${file}: ${(error as Error).message}`);
  }
}
