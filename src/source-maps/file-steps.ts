/** Runs work with files, which is written once as steps, with the event loop or without it. */
import { closeSync, constants, fstatSync, openSync, readSync, statSync, type Stats } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { monotonicNanos } from '../util/clock.js';
import { nextTurn, sliceEnd } from '../util/time-slices.js';

/** Without O_NONBLOCK, opening a pipe waits for a writer, and some devices may wait too. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
/** Most bytes of one call to read. */
const READ_BYTES = 1_048_576;

/** The reason why a file is not read. Its message has nothing of the file. */
export class UnreadableFileError extends Error {}

/** One call to the file system, asynchronous and synchronous. */
interface Call {
  readonly now: () => unknown;
  readonly later: () => Promise<unknown>;
}

/**
 * A generator with two kinds of steps: calls to the file system, by `yield* fileStatus(…)` and
 * `yield* fileBytes(…)`, and work of microseconds, which ends with `yield`.
 */
export type FileSteps<T> = Generator<Call | void, T, unknown>;

export interface FileStatus {
  readonly mtimeMs: number;
  readonly size: number;
}

/** Returns the status of a regular file. Throws if there is none. */
export function* fileStatus(file: string): FileSteps<FileStatus> {
  return statusOf(yield { now: () => statSync(file), later: () => stat(file) });
}

/**
 * Returns the bytes of a regular file and its status when they are read; no bytes if `admit` returns
 * false. Reads as many bytes as the file's size: a file without a size, such as one of /proc, is
 * empty. Throws if it cannot be read, or has become shorter.
 */
export function* fileBytes(
  file: string,
  admit: (status: FileStatus) => boolean,
): FileSteps<{ status: FileStatus; bytes: Buffer | undefined }> {
  const opened = yield {
    now: () => openSync(file, OPEN_FLAGS),
    later: () => open(file, OPEN_FLAGS),
  };
  try {
    // The status of the opened file: the path may name another one by now.
    const status = statusOf(
      yield {
        now: () => fstatSync(opened as number),
        later: () => (opened as FileHandle).stat(),
      },
    );
    if (!admit(status)) return { status, bytes: undefined };
    return { status, bytes: yield* bytesOf(opened, status.size) };
  } finally {
    yield {
      now: () => {
        closeSync(opened as number);
      },
      later: () => (opened as FileHandle).close(),
    };
  }
}

function* bytesOf(opened: unknown, size: number): FileSteps<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(size);
  for (let at = 0; at < size;) {
    const length = Math.min(READ_BYTES, size - at);
    const read = (yield {
      now: () => readSync(opened as number, bytes, at, length, at),
      later: async () => (await (opened as FileHandle).read(bytes, at, length, at)).bytesRead,
    }) as number;
    if (read === 0) throw new UnreadableFileError('it has become shorter');
    at += read;
  }
  return bytes;
}

function statusOf(found: unknown): FileStatus {
  const status = found as Stats;
  if (!status.isFile()) throw new UnreadableFileError('it is not a regular file');
  return { mtimeMs: status.mtimeMs, size: status.size };
}

/** Runs the steps in the event loop; steps without calls for half a millisecond at a time. */
export async function run<T>(steps: FileSteps<T>): Promise<T> {
  let next = steps.next();
  let end = 0n;
  while (next.done !== true) {
    if (next.value === undefined) {
      if (monotonicNanos() >= end) {
        await nextTurn();
        end = sliceEnd();
      }
      next = steps.next();
      continue;
    }
    // The next step begins a new slice.
    end = 0n;
    let value: unknown;
    try {
      value = await next.value.later();
    } catch (error) {
      next = steps.throw(error);
      continue;
    }
    next = steps.next(value);
  }
  return next.value;
}

/** Runs all steps synchronously. */
export function runSync<T>(steps: FileSteps<T>): T {
  let next = steps.next();
  while (next.done !== true) {
    let value: unknown;
    try {
      value = next.value?.now();
    } catch (error) {
      next = steps.throw(error);
      continue;
    }
    next = steps.next(value);
  }
  return next.value;
}
