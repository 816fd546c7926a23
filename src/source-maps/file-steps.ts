/** Work with files that is written once, as steps, and run with the event loop or without it. */
import { closeSync, constants, fstatSync, openSync, readSync, statSync, type Stats } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { nextTurn, sliceEnd } from '../util/time-slices.js';

/** To open a pipe without a writer waits for one, and so may some devices. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
/** Bytes of one call to read. */
const READ_BYTES = 1_048_576;

/** Why a file is not read; its message is fixed. */
export class UnreadableFileError extends Error {}

/** One call to the file system, in both ways. */
interface Call {
  readonly now: () => unknown;
  readonly later: () => Promise<unknown>;
}

/**
 * A generator whose steps are calls to the file system, by `yield* fileStatus(…)` and
 * `yield* fileBytes(…)`, or work of microseconds, by `yield`.
 */
export type FileSteps<T> = Generator<Call | void, T, unknown>;

export interface FileStatus {
  readonly mtimeMs: number;
  readonly size: number;
}

/** Of a regular file. Throws where there is none. */
export function* fileStatus(file: string): FileSteps<FileStatus> {
  return statusOf(yield { now: () => statSync(file), later: () => stat(file) });
}

/**
 * The bytes of a regular file and what it is when they are read; no bytes where `admit` says no.
 * Reads as many as the file's size says: what has none, such as a file of /proc, is empty.
 * Throws where it cannot be read, or is shorter by then.
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
    // Of what was opened: a path may lead elsewhere by now.
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

/** Takes the steps through the event loop; of those without calls, half a millisecond at a time. */
export async function run<T>(steps: FileSteps<T>): Promise<T> {
  let next = steps.next();
  let end = 0n;
  while (next.done !== true) {
    if (next.value === undefined) {
      if (process.hrtime.bigint() >= end) {
        await nextTurn();
        end = sliceEnd();
      }
      next = steps.next();
      continue;
    }
    // What follows begins a slice of its own.
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

/** Takes the steps at once. */
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
