/** The options that `run` and `attach` share: how a profile is taken, and where it is written. */
import { statSync } from 'node:fs';
import path from 'node:path';
import { parseScope } from '../options/environment.js';
import {
  CLOCKS,
  DEFAULT_CLOCK,
  DEFAULT_INTERVAL_MICROS,
  MAX_INTERVAL_MICROS,
  MIN_INTERVAL_MICROS,
  type Scope,
} from '../options/options.js';
import type { SampleClock } from '../util/sample-clock.js';
import { CommandError, UsageError, wholeNumber } from './arguments.js';

/** For `parseCommand`. */
export const PROFILE_OPTIONS = {
  out: { type: 'string' },
  interval: { type: 'string' },
  clock: { type: 'string', default: DEFAULT_CLOCK },
  serve: { type: 'boolean', default: false },
  'span-id-scope': { type: 'string' },
  'span-name-scope': { type: 'string' },
} as const;

export interface ProfileOptions {
  readonly intervalMicros: number;
  readonly clock: SampleClock;
  readonly serve: boolean;
}

/** Throws a UsageError that names the option and the accepted values. */
export function profileOptions(values: {
  readonly interval?: string | undefined;
  readonly clock: string;
  readonly serve: boolean;
}): ProfileOptions {
  const clock = CLOCKS.find((each) => each === values.clock);
  if (clock === undefined) {
    throw new UsageError(`--clock must be ${CLOCKS.join(', ')}, got "${values.clock}"`);
  }
  const intervalMicros =
    values.interval === undefined
      ? DEFAULT_INTERVAL_MICROS
      : wholeNumber('--interval', values.interval, MIN_INTERVAL_MICROS, MAX_INTERVAL_MICROS);
  return { intervalMicros, clock, serve: values.serve };
}

/** Returns the scope that an option names; undefined if it was not given. Throws a UsageError. */
export function scopeOption(name: string, text: string | undefined): Scope | undefined {
  if (text === undefined) return undefined;
  try {
    return parseScope(text);
  } catch (error) {
    throw new UsageError(`--${name} ${(error as Error).message}`);
  }
}

/**
 * Returns the absolute path of the file that `--out` names; in a folder, if it is one or ends in a
 * slash, it is called `defaultName`. Throws a CommandError if there is no such folder.
 */
export function outFile(given: string | undefined, defaultName: string): string {
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
