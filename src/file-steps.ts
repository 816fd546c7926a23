/** Reading of files that is written once, as steps, and run with the event loop or without it. */
import { readFileSync, statSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';

/** One call to the file system, in both ways. */
interface Step {
  readonly now: () => unknown;
  readonly later: () => Promise<unknown>;
}

/** A generator that reads by `yield* fileStatus(…)` and `yield* fileText(…)`. */
export type FileSteps<T> = Generator<Step, T, unknown>;

/** Of a regular file: opening a pipe or a device could wait for ever. Throws where there is none. */
export function* fileStatus(file: string): FileSteps<{ mtimeMs: number; size: number }> {
  const status = (yield {
    now: () => statSync(file),
    later: () => stat(file),
  }) as Awaited<ReturnType<typeof stat>>;
  if (!status.isFile()) throw new Error('not a file');
  return { mtimeMs: Number(status.mtimeMs), size: Number(status.size) };
}

/** The whole file as UTF-8; throws where it cannot be read. */
export function* fileText(file: string): FileSteps<string> {
  return (yield {
    now: () => readFileSync(file, 'utf8'),
    later: () => readFile(file, 'utf8'),
  }) as string;
}

/** Takes the steps through the event loop. */
export async function run<T>(steps: FileSteps<T>): Promise<T> {
  let next = steps.next();
  while (next.done !== true) {
    try {
      next = steps.next(await next.value.later());
    } catch (error) {
      next = steps.throw(error);
    }
  }
  return next.value;
}

/** Takes the steps at once. */
export function runSync<T>(steps: FileSteps<T>): T {
  let next = steps.next();
  while (next.done !== true) {
    try {
      next = steps.next(next.value.now());
    } catch (error) {
      next = steps.throw(error);
    }
  }
  return next.value;
}
