/** Arguments of the command line: checked, and errors that say what was expected. */
import { parseArgs, type ParseArgsConfig } from 'node:util';

/** Wrong arguments; the message goes to the user, and the exit code is 2. */
export class UsageError extends Error {}

/** Something else that the user has to know, without a stack; the exit code is 1. */
export class CommandError extends Error {}

type Options = NonNullable<ParseArgsConfig['options']>;
type Parsed<O extends Options> = ReturnType<
  typeof parseArgs<{ options: O; allowPositionals: true; args: string[] }>
>;

/** `parseArgs`, with errors of one line. Throws a UsageError. */
export function parseCommand<O extends Options>(args: readonly string[], options: O): Parsed<O> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    // The first sentence; the rest is about escaping in shells.
    throw new UsageError(String((error as Error).message).split(/\.\s|\n/, 1)[0]);
  }
}

/** Throws a UsageError where the text is not an integer from `min` to `max`. */
export function wholeNumber(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < min || value > max) {
    throw new UsageError(
      `${name} needs a whole number from ${String(min)} to ${String(max)}, got "${text}"`,
    );
  }
  return value;
}
