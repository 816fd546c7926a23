/** Fits profiles to the limits of a Pyroscope server: splits them, and trims the rest. */
import type { ProfileSummary } from './protocols/upload.js';
import { gunzipInSlices } from '../util/gunzip.js';
import { gzipped as gzip } from '../util/gzip.js';
import { ProtobufReader } from '../profile/protobuf-reader.js';
import { inSlices } from '../util/time-slices.js';
import { FIELD, PprofIndex, SAMPLE_FIELD } from '../profile/pprof-index.js';
import {
  heaviestSamples,
  LabelFilter,
  partialProfile,
  sampleNumbers,
} from '../profile/pprof-parts.js';

/** Pyroscope's default limits, less some room for what a protocol adds to the profile. */
export interface ProfileLimits {
  /** Samples of one profile. Server: 16,000. */
  readonly samples: number;
  /**
   * Bytes of one profile. Server: 4 MiB, but its rate limit accepts no more than 2 MiB at once, and
   * rejects a larger profile at every try, as if a later try could succeed. The server counts the
   * labels too, and for OTLP the size of its own pprof, which may be larger than ours.
   */
  readonly bytes: number;
  /** Bytes of the compressed profile. */
  readonly gzippedBytes: number;
  /** Profiles that one window is split into; further samples are summed into one, `(trimmed)`. */
  readonly parts: number;
  /** Labels of one sample that become labels of a series. */
  readonly labels: number;
  /** Characters of a label's name. */
  readonly labelName: number;
}

/** All limits but `labels`, which depends on the number of tags. */
export const DEFAULT_PROFILE_LIMITS = {
  samples: 15_900,
  bytes: 1_800_000,
  gzippedBytes: 1_400_000,
  parts: 8,
  labelName: 1_024,
};

/** A whole profile, or a part of one. */
export interface ProfilePart {
  readonly gzipped: Uint8Array;
  readonly summary: ProfileSummary;
}

interface Scan extends ProfileSummary {
  readonly maxLabels: number;
  readonly maxString: number;
}

/** A window that is ready to be uploaded. */
export interface FittedProfile {
  readonly parts: readonly ProfilePart[];
  /** Samples whose stack became `(trimmed)`. */
  readonly trimmedSamples: number;
  /** Labels removed from samples. */
  readonly droppedLabels: number;
}

/** Bytes that are scanned in one step; the step ends behind the message that it is in then. */
const STEP_BYTES = 8_192;

/**
 * Splits `gzipped` into one or more gzipped pprof profiles; none if it has no samples. CPU is never
 * lost: stacks that do not fit become one sample `(trimmed)`. Rejects if the bytes are not a
 * gzipped profile.
 */
export async function fitProfile(
  gzipped: Uint8Array,
  limits: ProfileLimits,
): Promise<FittedProfile> {
  const bytes = await gunzipInSlices(gzipped);
  const scan = await inSlices(scanProfile(bytes));
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
  const profile = await inSlices(PprofIndex.of(bytes));
  const filter = labelsFit ? undefined : new LabelFilter(profile, limits);
  const droppedLabels = filter === undefined ? 0 : await inSlices(filter.countDropped());
  return { ...(await splitProfile(profile, filter, limits)), droppedLabels };
}

/** Halves a profile that a server found too large. Resolves to undefined if it has one sample. */
export async function halveProfile(gzipped: Uint8Array): Promise<FittedProfile | undefined> {
  const profile = await inSlices(PprofIndex.of(await gunzipInSlices(gzipped)));
  const samples = sampleNumbers(profile);
  const half = samples.length >> 1;
  if (half === 0) return undefined;
  const parts = [];
  for (const [part, own] of [samples.subarray(0, half), samples.subarray(half)].entries()) {
    parts.push(await pack(await inSlices(partialProfile(profile, { samples: own, part }))));
  }
  return { parts, trimmedSamples: 0, droppedLabels: 0 };
}

function* scanProfile(bytes: Uint8Array): Generator<void, Scan> {
  const reader = new ProtobufReader(bytes);
  const scan = { samples: 0, maxLabels: 0, maxString: 0, startNanos: 0n, durationNanos: 0n };
  let periodNanos = 0;
  let stepEnd = STEP_BYTES;
  while (reader.next()) {
    if (reader.field === FIELD.sample) {
      scan.samples += 1;
      scan.maxLabels = Math.max(scan.maxLabels, countLabels(reader));
    } else if (reader.field === FIELD.string) {
      const begin = reader.content();
      scan.maxString = Math.max(scan.maxString, reader.offset - begin);
    } else if (reader.field === FIELD.timeNanos) scan.startNanos = reader.bigint();
    else if (reader.field === FIELD.durationNanos) scan.durationNanos = reader.bigint();
    else if (reader.field === FIELD.period) periodNanos = reader.number();
    else reader.skip();
    if (reader.offset < stepEnd) continue;
    stepEnd = reader.offset + STEP_BYTES;
    yield;
  }
  return { ...scan, periodNanos };
}

function countLabels(reader: ProtobufReader): number {
  let count = 0;
  reader.message(() => {
    while (reader.next()) {
      if (reader.field === SAMPLE_FIELD.label) count += 1;
      reader.skip();
    }
  });
  return count;
}

/** Distributes samples by weight, the heaviest first, so that the lightest are trimmed. */
async function splitProfile(
  profile: PprofIndex,
  filter: LabelFilter | undefined,
  limits: ProfileLimits,
): Promise<Pick<FittedProfile, 'parts' | 'trimmedSamples'>> {
  const samples = await inSlices(heaviestSamples(profile));
  const waiting: Uint32Array[] = [];
  for (let at = 0; at < samples.length; at += limits.samples) {
    waiting.push(samples.subarray(at, at + limits.samples));
  }
  const trimmed: Uint32Array[] = [];
  const parts = [];
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    if (parts.length >= limits.parts - 1 && (waiting.length > 0 || trimmed.length > 0)) {
      trimmed.push(next);
      continue;
    }
    const selection = { samples: next, part: parts.length, filter };
    const part = await packIfFits(await inSlices(partialProfile(profile, selection)), limits);
    if (part !== undefined) parts.push(part);
    else if (next.length === 1) trimmed.push(next);
    else waiting.unshift(next.subarray(0, next.length >> 1), next.subarray(next.length >> 1));
  }
  if (trimmed.length > 0) {
    const selection = { samples: new Uint32Array(0), part: parts.length, trimmed };
    parts.push(await pack(await inSlices(partialProfile(profile, selection))));
  }
  const trimmedSamples = trimmed.reduce((sum, { length }) => sum + length, 0);
  return { parts, trimmedSamples };
}

async function packIfFits(
  bytes: Uint8Array,
  limits: ProfileLimits,
): Promise<FittedProfile['parts'][number] | undefined> {
  if (bytes.length > limits.bytes) return undefined;
  const part = await pack(bytes);
  return part.gzipped.length > limits.gzippedBytes ? undefined : part;
}

async function pack(bytes: Uint8Array): Promise<FittedProfile['parts'][number]> {
  const gzipped = await gzip(bytes);
  return { gzipped, summary: await inSlices(scanProfile(bytes)) };
}
