/** Parses and checks arguments of the command line; errors name what was expected. */
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { suggestion } from '../options/suggestions.js';

/** Wrong arguments. The message is printed, and the exit code is 2. */
export class UsageError extends Error {}

/** Any other error that is printed without a stack. The exit code is 1 by default. */
export class CommandError extends Error {
  constructor(
    message: string,
    readonly exitCode = 1,
  ) {
    super(message);
  }
}

type Options = NonNullable<ParseArgsConfig['options']>;
type Parsed<O extends Options> = ReturnType<
  typeof parseArgs<{ options: O; allowPositionals: true; args: string[] }>
>;

/** Calls `parseArgs`. Throws a UsageError with a message of one line. */
export function parseCommand<O extends Options>(args: readonly string[], options: O): Parsed<O> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    // Only the first sentence: the rest is about escaping in shells.
    const [sentence = ''] = String((error as Error).message).split(/\.\s|\n/, 1);
    const wrong = /'--?([^' ]+)'/.exec(sentence)?.[1];
    throw new UsageError(
      sentence + (wrong === undefined ? '' : suggestion(wrong, Object.keys(options))),
    );
  }
}

/** Returns the integer in `text`. Throws a UsageError if it is not one from `min` to `max`. */
export function wholeNumber(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) {
    throw new UsageError(
      `${name} needs a whole number from ${String(min)} to ${String(max)}, got "${text}"`,
    );
  }
  return value;
}
