/** Reads a profile from a file or a URL, within limits. */
import { open } from 'node:fs/promises';
import { MAX_PROFILE_BYTES, ProfileReadError } from '../profile/read-limits.js';
import type { Profile } from '../profile/model.js';
import { readProfile } from '../profile/reader.js';
import { CommandError } from './arguments.js';

/** A server may take the profile during the request: pprof's own limit is five minutes. */
const URL_TIMEOUT_MS = 330_000;

/** Rejects with a CommandError that names the file. */
export async function readProfileFile(file: string): Promise<Profile> {
  return parse(file, await bytesOf(file));
}

/** Like `readProfileFile`, for a file or an http or https URL. */
export async function readProfileFrom(fileOrUrl: string): Promise<Profile> {
  if (!isUrl(fileOrUrl)) return readProfileFile(fileOrUrl);
  return parse(fileOrUrl, await download(fileOrUrl));
}

export function isUrl(text: string): boolean {
  return /^https?:\/\//i.test(text);
}

async function parse(name: string, bytes: Uint8Array): Promise<Profile> {
  try {
    return await readProfile(bytes);
  } catch (error) {
    if (!(error instanceof ProfileReadError)) throw error;
    throw new CommandError(`${name} is not a pprof profile that can be read: ${error.message}`);
  }
}

async function bytesOf(file: string): Promise<Uint8Array> {
  try {
    const handle = await open(file);
    try {
      // Pipes and devices report size 0, so the limit is checked on the bytes read.
      const chunks: Buffer[] = [];
      let length = 0;
      for await (const chunk of handle.createReadStream({ autoClose: false })) {
        length += (chunk as Buffer).length;
        checkLength(file, length);
        chunks.push(chunk as Buffer);
      }
      return Buffer.concat(chunks);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof CommandError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    const known: Record<string, string> = {
      ENOENT: 'there is no such file',
      EISDIR: 'it is a directory',
      EACCES: 'permission denied',
    };
    throw new CommandError(`cannot read ${file}: ${known[code ?? ''] ?? message}`);
  }
}

async function download(url: string): Promise<Uint8Array> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(URL_TIMEOUT_MS) });
    if (!response.ok) throw new CommandError(`${url} answered ${String(response.status)}`);
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of response.body ?? []) {
      length += (chunk as Uint8Array).length;
      checkLength(url, length);
      chunks.push(chunk as Uint8Array);
    }
    return Buffer.concat(chunks);
  } catch (error) {
    if (error instanceof CommandError) throw error;
    const { cause, message } = error as Error;
    throw new CommandError(
      `cannot get ${url}: ${cause instanceof Error ? cause.message || String(cause) : message}`,
    );
  }
}

function checkLength(name: string, length: number): void {
  if (length <= MAX_PROFILE_BYTES) return;
  const limit = `${String(MAX_PROFILE_BYTES / 1_048_576)} MiB`;
  throw new CommandError(`${name} is not a pprof profile that can be read: larger than ${limit}`);
}
