/** Renames labels to names that Grafana shows: letters, digits and underscores. */
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { warnOnce } from '../../util/diagnostics.js';
import { inSlices } from '../../util/time-slices.js';

const gunzipAsync = promisify(gunzip);
const gzipAsync = promisify(gzip);

/** Labels that have a meaning for the server or this package: no other label is renamed to them. */
const RESERVED: ReadonlySet<string> = new Set([
  ...['__name__', 'profile_id', 'span_id', 'span_name', 'thread_name', 'trace_id'],
]);

/** Field numbers: https://github.com/google/pprof/blob/main/proto/profile.proto */
const SAMPLE = 2;
const STRING = 6;
const LABEL_OF_SAMPLE = 3;
const KEY_OF_LABEL = 1;

/**
 * Returns `http_route` for `http.route`, as in OpenTelemetry's mapping to Prometheus. Pyroscope
 * stores other names, but leaves them out of its responses unless a client asks for names in UTF-8,
 * which most versions of Grafana do not.
 */
export function shownName(name: string): string {
  const shown = name.replace(/[^A-Za-z0-9_]/gu, '_');
  return RESERVED.has(shown) ? name : shown;
}

/**
 * Returns the labels under names that Grafana shows. If two get the same name, the one that had it
 * before is kept, else the first.
 */
export function withShownNames(labels: Readonly<Record<string, string>>): Record<string, string> {
  const shown: Record<string, string> = {};
  for (const [name, value] of Object.entries(labels)) {
    const target = shownName(name);
    if (target === name || (!Object.hasOwn(labels, target) && !Object.hasOwn(shown, target))) {
      shown[target] = value;
    } else reportDropped(name, target);
  }
  return shown;
}

/**
 * Renames the labels of samples in a gzipped pprof profile; returns the same bytes if no name
 * changes. `droppedLabels` counts labels whose new name another label of the sample has. Rejects if
 * the bytes are not a gzipped profile.
 */
export async function renameLabels(
  gzipped: Uint8Array,
): Promise<{ gzipped: Uint8Array; droppedLabels: number }> {
  const bytes = await gunzipAsync(gzipped);
  const renamed = await inSlices(renameIn(bytes));
  if (renamed === undefined) return { gzipped, droppedLabels: 0 };
  return { gzipped: await gzipAsync(renamed.bytes), droppedLabels: renamed.droppedLabels };
}

type Renamed = { bytes: Uint8Array; droppedLabels: number } | undefined;

/** Copies the profile with new keys of labels; new names are added at the end of the string table. */
function* renameIn(bytes: Uint8Array): Generator<void, Renamed> {
  const { keys, strings } = yield* scan(bytes);
  const names = new Map([...keys].map((key) => [key, Buffer.from(strings[key] ?? []).toString()]));
  const indices = new Map([...names].map(([key, name]) => [name, key]));
  const targets = new Map<number, number>();
  const added: string[] = [];
  for (const [key, name] of names) {
    const shown = shownName(name);
    if (shown === name) continue;
    let index = indices.get(shown);
    if (index === undefined) {
      index = strings.length + added.push(shown) - 1;
      indices.set(shown, index);
    }
    targets.set(key, index);
  }
  if (targets.size === 0) return undefined;

  const writer = new BinaryWriter();
  const reader = new BinaryReader(bytes);
  let droppedLabels = 0;
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [field, wireType] = reader.tag();
    if (field === SAMPLE) {
      writer.tag(SAMPLE, WireType.LengthDelimited).fork();
      droppedLabels += copySample(reader.bytes(), targets, names, writer);
      writer.join();
    } else {
      reader.skip(wireType, field);
      writer.raw(bytes.subarray(start, reader.pos));
    }
    yield;
  }
  for (const name of added) writer.tag(STRING, WireType.LengthDelimited).string(name);
  return { bytes: writer.finish(), droppedLabels };
}

/** Returns the strings in UTF-8, and the indices of those that are keys of labels. */
function* scan(bytes: Uint8Array): Generator<void, { keys: Set<number>; strings: Uint8Array[] }> {
  const keys = new Set<number>();
  const strings: Uint8Array[] = [];
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === SAMPLE) addKeys(reader, keys);
    else if (field === STRING) strings.push(reader.bytes());
    else reader.skip(wireType, field);
    yield;
  }
  return { keys, strings };
}

/** Adds the keys of a sample's labels to `keys`. */
function addKeys(reader: BinaryReader, keys: Set<number>): void {
  const end = reader.uint32() + reader.pos;
  while (reader.pos < end) {
    const [field, wireType] = reader.tag();
    if (field === LABEL_OF_SAMPLE) keys.add(labelOf(reader.bytes()).key);
    else reader.skip(wireType, field);
  }
}

/** Writes a sample with renamed labels; returns the number of labels whose new name is taken. */
function copySample(
  sample: Uint8Array,
  targets: ReadonlyMap<number, number>,
  names: ReadonlyMap<number, string>,
  writer: BinaryWriter,
): number {
  const parts = partsOfSample(sample);
  const taken = new Set(parts.map(({ key }) => key).filter((key) => !targets.has(key ?? -1)));
  let dropped = 0;
  for (const { key, field, rest } of parts) {
    const target = targets.get(key ?? -1);
    if (target === undefined) {
      writer.raw(field);
    } else if (taken.has(target)) {
      dropped += 1;
      const name = names.get(key ?? -1) ?? '';
      reportDropped(name, shownName(name));
    } else {
      taken.add(target);
      writer.tag(LABEL_OF_SAMPLE, WireType.LengthDelimited).fork();
      writer.tag(KEY_OF_LABEL, WireType.Varint).int64(target);
      writer.raw(rest).join();
    }
  }
  return dropped;
}

interface SamplePart {
  /** The whole field, with its tag. */
  readonly field: Uint8Array;
  /** For a label: the index of its name, and its other fields. */
  readonly key: number | undefined;
  readonly rest: Uint8Array;
}

function partsOfSample(sample: Uint8Array): SamplePart[] {
  const parts: SamplePart[] = [];
  const reader = new BinaryReader(sample);
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [number, wireType] = reader.tag();
    let key: number | undefined;
    let rest: Uint8Array = new Uint8Array();
    if (number === LABEL_OF_SAMPLE) ({ key, rest } = labelOf(reader.bytes()));
    else reader.skip(wireType, number);
    parts.push({ field: sample.subarray(start, reader.pos), key, rest });
  }
  return parts;
}

/** Reads a label. All writers put the key first; the fields behind it are copied. */
function labelOf(label: Uint8Array): { key: number; rest: Uint8Array } {
  const reader = new BinaryReader(label);
  const [field] = reader.tag();
  if (field !== KEY_OF_LABEL) return { key: 0, rest: label };
  const key = Number(reader.int64());
  return { key, rest: label.subarray(reader.pos) };
}

function reportDropped(name: string, shown: string): void {
  warnOnce(
    'pyroscope-label-name',
    `the label ${JSON.stringify(name)} is not uploaded: Pyroscope would call it "${shown}", which another label is called`,
  );
}
