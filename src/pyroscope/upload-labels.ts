/** Rewrites the labels of a profile for the server: names that Grafana shows, and a limit of values. */
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { gunzipInSlices } from '../util/gunzip.js';
import { gzipped as gzip } from '../util/gzip.js';
import { inSlices } from '../util/time-slices.js';
import { OTHER_VALUE, type LabelValueLimit } from './label-value-limit.js';
import { reportDroppedLabel, shownName } from './protocols/label-names.js';

/** Field numbers: https://github.com/google/pprof/blob/main/proto/profile.proto */
const SAMPLE = 2;
const STRING = 6;
const LABEL_OF_SAMPLE = 3;
const KEY_OF_LABEL = 1;
const VALUE_OF_LABEL = 2;

export interface LabelRules {
  /** Whether names become those that Grafana shows; see `shownName`. */
  readonly rename: boolean;
  readonly values: LabelValueLimit;
}

export interface FittedLabels {
  readonly gzipped: Uint8Array;
  /** Labels dropped because another label of their sample has the new name. */
  readonly droppedLabels: number;
  /** Labels of samples whose value became `OTHER_VALUE`. */
  readonly otherLabelValues: number;
}

/**
 * Applies the rules to all samples of a gzipped pprof profile. Returns the same bytes where nothing
 * changes. Rejects where the bytes are not a gzipped profile.
 */
export async function fitLabels(gzipped: Uint8Array, rules: LabelRules): Promise<FittedLabels> {
  const bytes = await gunzipInSlices(gzipped);
  const fitted = await inSlices(rewrite(bytes, rules));
  if (fitted === undefined) return { gzipped, droppedLabels: 0, otherLabelValues: 0 };
  return { ...fitted.counts, gzipped: await gzip(fitted.bytes) };
}

interface Rewritten {
  readonly bytes: Uint8Array;
  readonly counts: { droppedLabels: number; otherLabelValues: number };
}

/** The changes, by index in the string table. */
interface Changes {
  /** New key by old key. */
  readonly keys: Map<number, number>;
  /** By key: the values that become `OTHER_VALUE`. */
  readonly values: Map<number, Set<number>>;
  readonly otherValue: number;
  readonly names: ReadonlyMap<number, string>;
}

/** Copies the profile but for the labels of samples; new strings go to the end of the string table. */
function* rewrite(bytes: Uint8Array, rules: LabelRules): Generator<void, Rewritten | undefined> {
  const { labels, strings } = yield* scan(bytes);
  const text = (index: number): string => Buffer.from(strings[index] ?? []).toString();
  const names = new Map([...labels.keys()].map((key) => [key, text(key)]));
  const keyOf = new Map([...names].map(([key, name]) => [name, key]));
  const keys = new Map<number, number>();
  const added: string[] = [];
  const add = (string: string): number => strings.length + added.push(string) - 1;
  for (const [key, name] of rules.rename ? names : []) {
    const shown = shownName(name);
    if (shown === name) continue;
    const target = keyOf.get(shown) ?? add(shown);
    keyOf.set(shown, target);
    keys.set(key, target);
  }
  const values = new Map<number, Set<number>>();
  for (const [key, indexes] of labels) {
    const name = names.get(key) ?? '';
    const shown = rules.rename ? shownName(name) : name;
    for (const index of indexes) {
      if (!rules.values.admits(shown, text(index))) {
        const others = values.get(key) ?? new Set();
        values.set(key, others.add(index));
      }
      yield;
    }
  }
  if (keys.size === 0 && values.size === 0) return undefined;

  const otherValue = values.size === 0 ? 0 : add(OTHER_VALUE);
  const changes = { keys, values, otherValue, names };
  const counts = { droppedLabels: 0, otherLabelValues: 0 };
  const writer = new BinaryWriter();
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [field, wireType] = reader.tag();
    if (field === SAMPLE) {
      writer.tag(SAMPLE, WireType.LengthDelimited).fork();
      copySample(reader.bytes(), changes, writer, counts);
      writer.join();
    } else {
      reader.skip(wireType, field);
      writer.raw(bytes.subarray(start, reader.pos));
    }
    yield;
  }
  for (const string of added) writer.tag(STRING, WireType.LengthDelimited).string(string);
  return { bytes: writer.finish(), counts };
}

interface Scan {
  /** Values by key of all labels. */
  readonly labels: Map<number, Set<number>>;
  /** The string table, in UTF-8. */
  readonly strings: Uint8Array[];
}

function* scan(bytes: Uint8Array): Generator<void, Scan> {
  const labels = new Map<number, Set<number>>();
  const strings: Uint8Array[] = [];
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === STRING) strings.push(reader.bytes());
    else if (field === SAMPLE) {
      for (const { label } of partsOfSample(reader.bytes())) {
        if (label === undefined) continue;
        const values = labels.get(label.key) ?? new Set();
        labels.set(label.key, values.add(label.value));
      }
    } else reader.skip(wireType, field);
    yield;
  }
  return { labels, strings };
}

function copySample(
  sample: Uint8Array,
  { keys, values, otherValue, names }: Changes,
  writer: BinaryWriter,
  counts: { droppedLabels: number; otherLabelValues: number },
): void {
  const parts = partsOfSample(sample);
  const taken = new Set<number>();
  for (const { label } of parts) {
    if (label !== undefined && !keys.has(label.key)) taken.add(label.key);
  }
  for (const { field, label } of parts) {
    const key = keys.get(label?.key ?? -1);
    const isOther = values.get(label?.key ?? -1)?.has(label?.value ?? -1) === true;
    if (label === undefined || (key === undefined && !isOther)) {
      writer.raw(field);
      continue;
    }
    if (key !== undefined && taken.has(key)) {
      counts.droppedLabels += 1;
      const name = names.get(label.key) ?? '';
      reportDroppedLabel(name, shownName(name));
      continue;
    }
    if (key !== undefined) taken.add(key);
    if (isOther) counts.otherLabelValues += 1;
    writer.tag(LABEL_OF_SAMPLE, WireType.LengthDelimited).fork();
    writer.tag(KEY_OF_LABEL, WireType.Varint).int64(key ?? label.key);
    writer.tag(VALUE_OF_LABEL, WireType.Varint).int64(isOther ? otherValue : label.value);
    writer.join();
  }
}

interface SamplePart {
  /** The whole field, with its tag. */
  readonly field: Uint8Array;
  /** Undefined for other fields and for labels that are numbers. */
  readonly label: { readonly key: number; readonly value: number } | undefined;
}

function partsOfSample(sample: Uint8Array): SamplePart[] {
  const parts: SamplePart[] = [];
  const reader = new BinaryReader(sample);
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const [number, wireType] = reader.tag();
    const label = number === LABEL_OF_SAMPLE ? labelIn(reader.bytes()) : undefined;
    if (number !== LABEL_OF_SAMPLE) reader.skip(wireType, number);
    parts.push({ field: sample.subarray(start, reader.pos), label });
  }
  return parts;
}

function labelIn(bytes: Uint8Array): SamplePart['label'] {
  const reader = new BinaryReader(bytes);
  let key = 0;
  let value = 0;
  while (reader.pos < reader.len) {
    const [field] = reader.tag();
    if (field === KEY_OF_LABEL) key = Number(reader.int64());
    else if (field === VALUE_OF_LABEL) value = Number(reader.int64());
    else return undefined;
  }
  return { key, value };
}
