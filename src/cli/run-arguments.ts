/** Parses the arguments of `run`: its own options, those of Node.js, and the program's. */
import { suggestion } from '../options/suggestions.js';
import { CPU_PROFILE } from '../util/profile-types.js';
import { parseCommand, UsageError } from './arguments.js';
import { nodeOptionLength, nodeOptionNames } from './node-options.js';
import {
  outFile,
  PROFILE_OPTIONS,
  profileOptions,
  scopeOption,
  type ProfileOptions,
} from './profile-options.js';
import { findProgram, type Program } from './program.js';

const OPTIONS = { ...PROFILE_OPTIONS, 'no-children': { type: 'boolean', default: false } } as const;

/** Options that set a variable of the program's environment, as `otelpyroscope/register` reads it. */
const SCOPES = [
  ['span-id-scope', 'PYROSCOPE_OTEL_SPAN_ID_SCOPE'],
  ['span-name-scope', 'PYROSCOPE_OTEL_SPAN_NAME_SCOPE'],
] as const;

export interface RunArguments extends ProfileOptions {
  readonly program: Program;
  /** The absolute path of the profile. */
  readonly out: string;
  readonly children: boolean;
  /** Variables of the program's environment. */
  readonly variables: Readonly<Record<string, string>>;
}

/** Throws a UsageError or CommandError. */
export function parseRun(args: readonly string[]): RunArguments {
  const { own, nodeOptions, command } = split(args);
  const { values } = parseCommand(own, OPTIONS);
  const options = profileOptions(values);
  const variables: Record<string, string> = {};
  for (const [name, variable] of SCOPES) {
    const value = values[name];
    scopeOption(name, value);
    if (value !== undefined) variables[variable] = value;
  }
  const program = findProgram(nodeOptions, command);
  return {
    ...options,
    program,
    out: outFile(values.out, `${program.name}.${CPU_PROFILE.fileName}`),
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
