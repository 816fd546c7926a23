/** Reads a compiled file and its source map, which may be beside the file, in it, or anywhere else. */
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { SourceMapText } from '../addon/loader.js';
import { findSourceMapUrl } from './compiled-text.js';
import { warnOnce } from '../util/diagnostics.js';
import { fileBytes, UnreadableFileError, type FileStatus, type FileSteps } from './file-steps.js';
import { MappedFile } from './mapped-file.js';
import { joined } from '../util/time-slices.js';
import { SourceMapError } from './map-json.js';

/** Larger files and maps are not read. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;
/** Longest URL of a map in a file of its own. */
const MAX_URL_BYTES = 4_096;
/** Longest part of a data URL before its comma. */
const MAX_TYPE_BYTES = 256;
/** Bytes of a data URL that are decoded in one step; a multiple of 4, as base64 needs. */
const STEP_BYTES = 16_384;

/** The bytes that one collect may still read. */
export interface ReadLimit {
  /** Below 0 if a file was not read because of the limit. */
  bytes: number;
}

interface ReadFile {
  /** The status of the compiled file. */
  readonly status: FileStatus;
  /** Undefined if it has no usable map, or the limit is reached. */
  readonly mapped: MappedFile | undefined;
  /** Whether the file names a map that cannot be used. */
  readonly isSkipped: boolean;
}

/** Reads a compiled file and its map. Throws if there is no such file, or it is not readable. */
export function* readMappedFile(file: string, limit: ReadLimit): FileSteps<ReadFile> {
  const { status, bytes } = yield* fileBytes(
    file,
    ({ size }) => size <= MAX_FILE_BYTES && take(limit, size),
  );
  const without = { status, mapped: undefined };
  if (bytes === undefined) return { ...without, isSkipped: status.size > MAX_FILE_BYTES };
  try {
    const found = yield* findSourceMapUrl(bytes);
    if (found === undefined) return { ...without, isSkipped: false };
    const map = yield* readMap(bytes, found, file, limit);
    if (map === undefined) return { ...without, isSkipped: false };
    // Without an inline map.
    const text = map.isInline ? yield* joined([bytes.subarray(0, found.begin)]) : bytes;
    const inlineBytes = map.isInline ? found.end - found.begin : 0;
    const mapped = yield* MappedFile.of(map.json, map.url, text, inlineBytes);
    return { status, mapped, isSkipped: false };
  } catch (error) {
    // Many packages name a map that they do not ship.
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (!isMissing) {
      warnOnce('broken-source-map', `the source map of ${file} cannot be used: ${reasonOf(error)}`);
    }
    return { ...without, isSkipped: !isMissing };
  }
}

/** Reads the map of a script that was compiled in memory. Returns undefined if it is broken. */
export function* readMapText({
  url,
  data,
}: SourceMapText): Generator<void, MappedFile | undefined> {
  try {
    const json = yield* decodeDataUrl(data, 0, data.length);
    const base = path.isAbsolute(url) ? pathToFileURL(url).href : url;
    return yield* MappedFile.of(json, base, Buffer.alloc(0), data.length);
  } catch (error) {
    warnOnce('broken-source-map', `the source map of ${url} cannot be used: ${reasonOf(error)}`);
    return undefined;
  }
}

/** Returns the map's JSON and the URL that its sources are relative to, or undefined if the limit is reached. */
function* readMap(
  text: Buffer,
  { begin, end }: { begin: number; end: number },
  file: string,
  limit: ReadLimit,
): FileSteps<{ json: Buffer; url: string; isInline: boolean } | undefined> {
  if (text.toString('latin1', begin, begin + 5) === 'data:') {
    const json = yield* decodeDataUrl(text, begin, end);
    return { json, url: pathToFileURL(file).href, isInline: true };
  }
  const url = resolveUrl(text, begin, end, file);
  const { bytes } = yield* fileBytes(fileURLToPath(url), ({ size }) => {
    if (size > MAX_FILE_BYTES) {
      throw new SourceMapError(`it has more than ${String(MAX_FILE_BYTES)} bytes`);
    }
    return take(limit, size);
  });
  return bytes === undefined ? undefined : { json: bytes, url: url.href, isInline: false };
}

function resolveUrl(text: Buffer, begin: number, end: number, file: string): URL {
  if (end - begin > MAX_URL_BYTES) throw new SourceMapError('its URL is too long');
  let url: URL;
  try {
    url = new URL(text.toString('utf8', begin, end), pathToFileURL(file));
  } catch {
    throw new SourceMapError('its URL is none');
  }
  if (url.protocol !== 'file:') throw new SourceMapError('it is not in a file');
  return url;
}

/** Counts bytes before they are read. Returns false, with `limit.bytes` below 0, if they are too many. */
function take(limit: ReadLimit, size: number): boolean {
  limit.bytes -= size;
  return limit.bytes >= 0;
}

/** Returns the content of the data URL between two offsets of `text`. */
function* decodeDataUrl(text: Buffer, begin: number, end: number): Generator<void, Buffer> {
  const head = text.toString('latin1', begin, Math.min(begin + MAX_TYPE_BYTES, end));
  const comma = head.indexOf(',');
  if (comma < 0) throw new SourceMapError('its data URL has no data');
  const data = text.subarray(begin + comma + 1, end);
  return head.slice(0, comma).endsWith(';base64')
    ? yield* decodeBase64(data)
    : yield* decodePercent(data);
}

function* decodeBase64(data: Buffer): Generator<void, Buffer> {
  const bytes = Buffer.allocUnsafeSlow(Math.ceil(data.length / 4) * 3);
  let used = 0;
  for (let at = 0; at < data.length; at += STEP_BYTES) {
    // The decoder skips bytes that are no base64: the result is shorter, and the rest of it is wrong.
    if (used !== (at / 4) * 3) throw new SourceMapError('its data URL is broken');
    used += bytes.write(data.toString('latin1', at, at + STEP_BYTES), used, 'base64');
    yield;
  }
  return bytes.subarray(0, used);
}

function* decodePercent(data: Buffer): Generator<void, Buffer> {
  const bytes = Buffer.allocUnsafeSlow(data.length);
  let used = 0;
  let stepEnd = STEP_BYTES;
  for (let at = 0; at < data.length; at++) {
    let byte = data[at] as number;
    if (byte === 0x25) {
      const digits = data.toString('latin1', at + 1, at + 3);
      if (!/^[\dA-Fa-f]{2}$/.test(digits)) throw new SourceMapError('its data URL is broken');
      byte = parseInt(digits, 16);
      at += 2;
    }
    bytes[used++] = byte;
    if (at < stepEnd) continue;
    stepEnd = at + STEP_BYTES;
    yield;
  }
  return bytes.subarray(0, used);
}

/** Returns a reason without the content of a file, or of a URL in one: either may be a secret. */
function reasonOf(error: unknown): string {
  if (error instanceof SourceMapError || error instanceof UnreadableFileError) return error.message;
  const { code } = error as NodeJS.ErrnoException;
  return typeof code === 'string' ? code : 'it cannot be read';
}
