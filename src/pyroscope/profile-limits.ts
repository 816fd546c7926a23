/** Makes profiles fit what a Pyroscope server takes: splits them, and trims what does not split. */
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import {
  Function as PprofFunction,
  Location,
  Profile,
  Sample,
  StringTable,
  ValueType,
} from 'pprof-format';

const gunzipAsync = promisify(gunzip);
const gzipAsync = promisify(gzip);

/** The limits of Pyroscope's defaults, with some room where a protocol adds to the profile. */
export interface ProfileLimits {
  /** Samples of one profile. Server: 16,000. */
  readonly samples: number;
  /** Bytes of one profile. Server: 4 MiB. */
  readonly bytes: number;
  /** Bytes of the compressed profile. */
  readonly gzippedBytes: number;
  /** Profiles that one window becomes; what is more goes to one sample `(trimmed)`. */
  readonly parts: number;
  /** Labels of one sample that become labels of a series. */
  readonly labels: number;
  /** Characters of a label's name. */
  readonly labelName: number;
}

/** Beside `labels`, which depends on the number of tags. */
export const DEFAULT_PROFILE_LIMITS = {
  samples: 15_900,
  bytes: 4_000_000,
  gzippedBytes: 1_400_000,
  parts: 8,
  labelName: 1_024,
};

/** What of a profile is known without decoding all of it. */
export interface ProfileSummary {
  readonly samples: number;
  readonly startNanos: bigint;
  readonly durationNanos: bigint;
  readonly periodNanos: number;
}

interface Scan extends ProfileSummary {
  readonly maxLabels: number;
  readonly maxString: number;
}

/** A window, ready to be uploaded. */
export interface FittedProfile {
  readonly parts: readonly { readonly gzipped: Uint8Array; readonly summary: ProfileSummary }[];
  /** Samples whose stack went into `(trimmed)`. */
  readonly trimmedSamples: number;
  /** Labels taken away from samples. */
  readonly droppedLabels: number;
}

const LABELS_WITHOUT_SERIES: ReadonlySet<string> = new Set(['span_id', 'trace_id']);

/**
 * One or more gzipped pprof profiles of what `gzipped` has; none where that has no samples. CPU is
 * never lost: stacks that do not fit are one sample `(trimmed)`. Rejects where the bytes are not
 * a gzipped profile.
 */
export async function fitProfile(
  gzipped: Uint8Array,
  limits: ProfileLimits,
): Promise<FittedProfile> {
  const bytes = await gunzipAsync(gzipped);
  const scan = scanProfile(bytes);
  if (scan.samples === 0) return { parts: [], trimmedSamples: 0, droppedLabels: 0 };
  const labelsFit = scan.maxLabels <= limits.labels && scan.maxString <= limits.labelName;
  if (
    labelsFit &&
    scan.samples <= limits.samples &&
    bytes.length <= limits.bytes &&
    gzipped.length <= limits.gzippedBytes
  ) {
    return { parts: [{ gzipped, summary: scan }], trimmedSamples: 0, droppedLabels: 0 };
  }
  const profile = Profile.decode(bytes);
  const droppedLabels = labelsFit ? 0 : dropLabels(profile, limits);
  return { ...(await splitProfile(profile, limits)), droppedLabels };
}

/** Two halves of a profile that a server found too large; undefined where it has one sample. */
export async function halveProfile(gzipped: Uint8Array): Promise<FittedProfile | undefined> {
  const profile = Profile.decode(await gunzipAsync(gzipped));
  const count = profile.sample.length;
  if (count < 2) return undefined;
  const halves = [profile.sample.slice(0, count >> 1), profile.sample.slice(count >> 1)];
  const parts = await Promise.all(
    halves.map(async (half, i) => pack(subProfile(profile, half, i))),
  );
  return { parts, trimmedSamples: 0, droppedLabels: 0 };
}

/** Field numbers: https://github.com/google/pprof/blob/main/proto/profile.proto */
function scanProfile(bytes: Uint8Array): Scan {
  const reader = new BinaryReader(bytes);
  const scan = { samples: 0, maxLabels: 0, maxString: 0, startNanos: 0n, durationNanos: 0n };
  let periodNanos = 0;
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 2) {
      scan.samples += 1;
      scan.maxLabels = Math.max(scan.maxLabels, countLabels(reader));
    } else if (field === 6) {
      const length = reader.uint32();
      scan.maxString = Math.max(scan.maxString, length);
      reader.pos += length;
    } else if (field === 9) scan.startNanos = BigInt(reader.int64());
    else if (field === 10) scan.durationNanos = BigInt(reader.int64());
    else if (field === 12) periodNanos = Number(reader.int64());
    else reader.skip(wireType, field);
  }
  return { ...scan, periodNanos };
}

function countLabels(reader: BinaryReader): number {
  const end = reader.uint32() + reader.pos;
  let count = 0;
  while (reader.pos < end) {
    const [field, wireType] = reader.tag();
    if (field === 3) count += 1;
    reader.skip(wireType, field);
  }
  return count;
}

/** Takes away labels with too long names, and the last ones of samples that have too many. */
function dropLabels(profile: Profile, limits: ProfileLimits): number {
  const { strings } = profile.stringTable;
  let dropped = 0;
  for (const sample of profile.sample) {
    const before = sample.label.length;
    let room = limits.labels;
    sample.label = sample.label.filter(({ key }) => {
      const name = strings[Number(key)] as string;
      if (LABELS_WITHOUT_SERIES.has(name)) return true;
      return Buffer.byteLength(name) <= limits.labelName && room-- > 0;
    });
    dropped += before - sample.label.length;
  }
  return dropped;
}

/** The heaviest samples come first, so that it is the lightest that are trimmed. */
async function splitProfile(
  profile: Profile,
  limits: ProfileLimits,
): Promise<Pick<FittedProfile, 'parts' | 'trimmedSamples'>> {
  const samples = [...profile.sample].sort((a, b) => Number(b.value[0]) - Number(a.value[0]));
  const waiting: Sample[][] = [];
  for (let at = 0; at < samples.length; at += limits.samples) {
    waiting.push(samples.slice(at, at + limits.samples));
  }
  const trimmed: Sample[] = [];
  const parts = [];
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    if (parts.length >= limits.parts - 1 && (waiting.length > 0 || trimmed.length > 0)) {
      trimmed.push(...next);
      continue;
    }
    const part = await packIfFits(subProfile(profile, next, parts.length), limits);
    if (part !== undefined) parts.push(part);
    else if (next.length === 1) trimmed.push(...next);
    else waiting.unshift(next.slice(0, next.length >> 1), next.slice(next.length >> 1));
  }
  if (trimmed.length > 0) {
    parts.push(await pack(subProfile(profile, [sumOf(profile, trimmed)], parts.length)));
  }
  return { parts, trimmedSamples: trimmed.length };
}

/** One sample with the CPU of all of these, and without their labels. */
function sumOf(profile: Profile, samples: readonly Sample[]): Sample {
  const name = profile.stringTable.dedup('(trimmed)');
  const id = profile.function.length + 1;
  profile.function.push(new PprofFunction({ id, name, systemName: name }));
  const locationId = profile.location.length + 1;
  profile.location.push(new Location({ id: locationId, line: [{ functionId: id }] }));
  const value = [0, 1].map((i) =>
    samples.reduce((sum, sample) => sum + Number(sample.value[i] ?? 0), 0),
  );
  return new Sample({ locationId: [locationId], value });
}

/** A profile of some of the samples, with only what they refer to. */
function subProfile(profile: Profile, samples: readonly Sample[], part: number): Profile {
  const strings = new StringTable();
  const text = (index: number | bigint): number =>
    strings.dedup(profile.stringTable.strings[Number(index)] as string);
  const locations = new Map(profile.location.map((location) => [Number(location.id), location]));
  const functions = new Map(profile.function.map((entry) => [Number(entry.id), entry]));
  const usedLocations = new Set(samples.flatMap(({ locationId }) => locationId.map(Number)));
  const location = [...usedLocations].map((id) => locations.get(id) as Location);
  const usedFunctions = new Set(
    location.flatMap(({ line }) => line.map(({ functionId }) => Number(functionId))),
  );
  const valueType = ({ type, unit }: ValueType): ValueType =>
    new ValueType({ type: text(type), unit: text(unit) });
  return new Profile({
    sampleType: profile.sampleType.map(valueType),
    sample: samples.map(
      ({ locationId, value, label }) =>
        new Sample({
          locationId,
          value,
          label: label.map(({ key, str }) => ({ key: text(key), str: text(str) })),
        }),
    ),
    location,
    function: [...usedFunctions].map((id) => {
      const entry = functions.get(id) as PprofFunction;
      return new PprofFunction({
        id,
        name: text(entry.name),
        systemName: text(entry.systemName),
        filename: text(entry.filename),
        startLine: entry.startLine,
      });
    }),
    stringTable: strings,
    // Apart by a nanosecond, so that no server takes one for a copy of the other.
    timeNanos: BigInt(profile.timeNanos) + BigInt(part),
    durationNanos: profile.durationNanos,
    ...(profile.periodType === undefined ? {} : { periodType: valueType(profile.periodType) }),
    period: profile.period,
  });
}

async function packIfFits(
  profile: Profile,
  limits: ProfileLimits,
): Promise<FittedProfile['parts'][number] | undefined> {
  const bytes = await profile.encodeAsync();
  if (bytes.length > limits.bytes) return undefined;
  const gzipped = await gzipAsync(bytes);
  return gzipped.length > limits.gzippedBytes
    ? undefined
    : { gzipped, summary: scanProfile(bytes) };
}

async function pack(profile: Profile): Promise<FittedProfile['parts'][number]> {
  const bytes = await profile.encodeAsync();
  return { gzipped: await gzipAsync(bytes), summary: scanProfile(bytes) };
}
