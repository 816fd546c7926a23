/** Parses the arguments of `run`: its own options, those of Node.js, and the program's. */
import { statSync } from 'node:fs';
import path from 'node:path';
import {
  CLOCKS,
  DEFAULT_CLOCK,
  DEFAULT_INTERVAL_MICROS,
  MAX_INTERVAL_MICROS,
  MIN_INTERVAL_MICROS,
  type SampleClock,
} from '../options/options.js';
import { parseScope } from '../options/environment.js';
import { suggestion } from '../options/suggestions.js';
import { CPU_PROFILE } from '../util/profile-types.js';
import { CommandError, parseCommand, UsageError, wholeNumber } from './arguments.js';
import { nodeOptionLength, nodeOptionNames } from './node-options.js';
import { findProgram, type Program } from './program.js';

const OPTIONS = {
  out: { type: 'string' },
  interval: { type: 'string' },
  clock: { type: 'string', default: DEFAULT_CLOCK },
  serve: { type: 'boolean', default: false },
  'no-children': { type: 'boolean', default: false },
  'span-id-scope': { type: 'string' },
  'span-name-scope': { type: 'string' },
} as const;

/** Options that set a variable of the program's environment, as `otelpyroscope/register` reads it. */
const SCOPES = [
  ['span-id-scope', 'PYROSCOPE_OTEL_SPAN_ID_SCOPE'],
  ['span-name-scope', 'PYROSCOPE_OTEL_SPAN_NAME_SCOPE'],
] as const;

export interface RunArguments {
  readonly program: Program;
  /** The absolute path of the profile. */
  readonly out: string;
  readonly intervalMicros: number;
  readonly clock: SampleClock;
  readonly serve: boolean;
  readonly children: boolean;
  /** Variables of the program's environment. */
  readonly variables: Readonly<Record<string, string>>;
}

/** Throws a UsageError or CommandError. */
export function parseRun(args: readonly string[]): RunArguments {
  const { own, nodeOptions, command } = split(args);
  const { values } = parseCommand(own, OPTIONS);
  const clock = CLOCKS.find((each) => each === values.clock);
  if (clock === undefined) {
    throw new UsageError(`--clock must be ${CLOCKS.join(' or ')}, got "${values.clock}"`);
  }
  const intervalMicros =
    values.interval === undefined
      ? DEFAULT_INTERVAL_MICROS
      : wholeNumber('--interval', values.interval, MIN_INTERVAL_MICROS, MAX_INTERVAL_MICROS);
  const variables: Record<string, string> = {};
  for (const [name, variable] of SCOPES) {
    const value = values[name];
    if (value !== undefined) variables[variable] = scopeText(name, value);
  }
  const program = findProgram(nodeOptions, command);
  return {
    program,
    out: outFile(values.out, `${program.name}.${CPU_PROFILE.fileName}`),
    intervalMicros,
    clock,
    serve: values.serve,
    children: !values['no-children'],
    variables,
  };
}

/** Divides the arguments: options of `run` and of Node.js in any order, then the program's. */
function split(args: readonly string[]): {
  own: string[];
  nodeOptions: string[];
  command: readonly string[];
} {
  const own: string[] = [];
  const nodeOptions: string[] = [];
  for (let at = 0; at < args.length;) {
    const argument = args[at] as string;
    if (argument === '--') return { own, nodeOptions, command: args.slice(at + 1) };
    if (!argument.startsWith('-') || argument === '-') {
      return { own, nodeOptions, command: args.slice(at) };
    }
    const length = ownLength(argument) ?? nodeOptionLength(argument);
    if (length === 0) {
      const accepted = [...Object.keys(OPTIONS).map((each) => `--${each}`), ...nodeOptionNames()];
      const [name = ''] = argument.split('=', 1);
      throw new UsageError(
        `neither run nor Node.js has an option ${name}${suggestion(name, accepted)}`,
      );
    }
    const list = ownLength(argument) === undefined ? nodeOptions : own;
    list.push(...args.slice(at, at + length));
    at += length;
  }
  return { own, nodeOptions, command: [] };
}

/** Returns how many arguments an option of `run` takes; undefined if it is none. */
function ownLength(argument: string): number | undefined {
  const [name = ''] = argument.split('=', 1);
  const option = Object.entries(OPTIONS).find(([each]) => `--${each}` === name)?.[1];
  if (option === undefined) return undefined;
  return option.type === 'string' && name === argument ? 2 : 1;
}

function scopeText(name: string, value: string): string {
  try {
    parseScope(value);
    return value;
  } catch (error) {
    throw new UsageError(`--${name} ${(error as Error).message}`);
  }
}

/** Returns the file that `--out` names, which may be a folder. Throws if it cannot be written. */
function outFile(given: string | undefined, defaultName: string): string {
  const isFolder = given?.endsWith(path.sep) === true || isDirectory(given ?? '');
  const out = path.resolve(
    isFolder ? path.join(given as string, defaultName) : (given ?? defaultName),
  );
  if (!isDirectory(path.dirname(out))) {
    throw new CommandError(`cannot write ${out}: there is no such folder`);
  }
  return out;
}

function isDirectory(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false })?.isDirectory() === true;
}
