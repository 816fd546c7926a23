/** Finds out which options Node.js has, so that `run` can pass them on. */
import { execFileSync } from 'node:child_process';

/** Options after which no script follows, but what they work on. */
const WITHOUT_SCRIPT = [
  '-e',
  '--eval',
  '-p',
  '--print',
  '-pe',
  '-i',
  '--interactive',
  '--test',
  '--run',
];
/** Node.js lists these as options with or without a value; the next argument is their code. */
const WITH_CODE = ['-p', '--print', '-pe'];

/** The options of this Node.js that its help lists, and whether the next argument is their value. */
let listed: ReadonlyMap<string, boolean> | undefined;

function listedOptions(): ReadonlyMap<string, boolean> {
  if (listed !== undefined) return listed;
  const options = new Map<string, boolean>();
  // Such as "  -r, --require=...           CommonJS module to preload".
  for (const [, names = ''] of helpOf('--help').matchAll(/^ {2}(-[^\s,]+(?:, -[^\s,]+)*)/gm)) {
    const hasValue = /\w=/.test(names);
    for (const name of names.split(', ')) {
      options.set(name.replace(/[=[].*$/s, ''), hasValue);
    }
  }
  for (const name of WITH_CODE) options.set(name, true);
  listed = options;
  return options;
}

function helpOf(option: string): string {
  return execFileSync(process.execPath, [option], { encoding: 'utf8', maxBuffer: 1 << 24 });
}

/** Returns the names of the options of Node.js, for suggestions. */
export function nodeOptionNames(): string[] {
  return [...listedOptions().keys()];
}

/**
 * Returns how many arguments an option of Node.js takes, itself included: 1 or 2; 0 if there is no
 * such option.
 */
export function nodeOptionLength(argument: string): number {
  const [name = ''] = argument.split('=', 1);
  const hasValue = listedOptions().get(name);
  if (hasValue !== undefined) return hasValue && name === argument ? 2 : 1;
  return process.allowedNodeEnvironmentFlags.has(name) || isV8Option(name) ? 1 : 0;
}

/** Whether Node.js runs what these options name instead of a script. */
export function runsNoScript(options: readonly string[]): boolean {
  return options.some((option) => WITHOUT_SCRIPT.includes(option.split('=', 1)[0] as string));
}

function isV8Option(name: string): boolean {
  const plain = name.replace(/^--(no-?)?/, '').replace(/_/g, '-');
  if (!name.startsWith('--') || !/^[\w-]+$/.test(plain)) return false;
  return new RegExp(`^ *--(no-)?${plain} `, 'm').test(helpOf('--v8-options'));
}
