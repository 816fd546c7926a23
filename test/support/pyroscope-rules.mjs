/** Everything that a Pyroscope server silently drops or mangles, as a list of complaints. */
import { gunzipSync } from 'node:zlib';
import { Profile } from 'pprof-format';

/** The kind by which queries find CPU profiles, as "Traces to profiles" does. */
export const CPU_KIND = 'process_cpu:cpu:nanoseconds:cpu:nanoseconds';

const SECOND = 1_000_000_000n;
/** Bytes that the server's rate limit takes at once, uncompressed. */
const MAX_AT_ONCE = 2 * 1024 * 1024;
/** Bytes of one profile, uncompressed. */
const MAX_BYTES = 4 * 1024 * 1024;
/** Labels that do not become labels of a series. */
const OF_SAMPLES = new Set(['span_id', 'trace_id', 'profile_id']);
/** Labels that the server adds to a series. */
const SERVER_LABELS = 6;

/** A pprof file as plain data; throws where it is malformed. */
export function decodePprof(gzipped) {
  if (gzipped[0] !== 0x1f || gzipped[1] !== 0x8b) throw new Error('not gzipped');
  const bytes = gunzipSync(gzipped);
  const profile = Profile.decode(bytes);
  const { strings } = profile.stringTable;
  const text = (index) => {
    const found = strings[Number(index)];
    if (found === undefined) throw new Error(`string ${index} is not in the table`);
    return found;
  };
  const byId = (entries) => new Map(entries.map((entry) => [Number(entry.id), entry]));
  const locations = byId(profile.location);
  const functions = byId(profile.function);
  if (locations.has(0) || functions.has(0)) throw new Error('an id is 0');
  const find = (map, id) => map.get(Number(id)) ?? fail(`id ${id} points nowhere`);
  const frame = ({ functionId, line }) => {
    const { name, filename, startLine } = find(functions, functionId);
    return {
      name: text(name),
      file: text(filename),
      startLine: Number(startLine),
      line: Number(line),
    };
  };
  const valueType = ({ type, unit }) => ({ type: text(type), unit: text(unit) });
  const types = profile.sampleType.map(valueType);
  const samples = profile.sample.map(({ locationId, value, label }) => {
    if (value.length !== types.length) throw new Error('values do not match the sample types');
    if (label.some(({ num, str }) => Number(num) !== 0 || Number(str) === 0)) {
      throw new Error('a label is not text');
    }
    return {
      stack: locationId.flatMap((id) => find(locations, id).line.map(frame)),
      count: Number(value[0]),
      nanos: Number(value[1]),
      labels: label.map(({ key, str }) => [text(key), text(str)]),
    };
  });
  return {
    types,
    periodType: valueType(profile.periodType),
    period: Number(profile.period),
    timeNanos: BigInt(profile.timeNanos),
    durationNanos: BigInt(profile.durationNanos),
    samples,
    strings,
    bytes: bytes.length,
  };
}

/** Names by which /ingest replaces those of sample types before it searches for the parts below. */
const INGEST_TYPES = {
  samples: 'cpu',
  goroutine: 'goroutines',
  contentions: 'mutex_count',
  delay: 'mutex_duration',
};
/** Parts of a sample type's name, and /ingest's name of a profile that has one. */
const INGEST_NAMES = [
  [/cpu/, 'process_cpu'],
  [/alloc_|inuse_|^space$|^objects$/, 'memory'],
  [/mutex_/, 'mutex'],
  [/block_/, 'block'],
  [/goroutines/, 'goroutines'],
];

/** Returns /ingest's name of a profile: that of the first sample type that has one, or else of the last. */
function ingestName(types) {
  if (types.some(({ type }) => type === 'wall')) return 'wall';
  const names = types.map(({ type }) => INGEST_TYPES[type] ?? type);
  for (const name of names) {
    const known = INGEST_NAMES.find(([part]) => part.test(name));
    if (known !== undefined) return known[1];
  }
  return names.at(-1);
}

/**
 * The kinds by which queries find what a profile has, as a real server was seen to call them:
 * `name:type:unit:period type:period unit`, one for each sample type. By `connect` the name is the
 * label `__name__`; by `otlp` that of the period, but for CPU.
 */
export function kindsOf({ protocol, profile, name }) {
  const { types, periodType, period } = profile;
  const ofPeriod = `${periodType.type}:${periodType.unit}`;
  return types.map(({ type, unit }) => {
    if (protocol !== 'otlp') {
      return `${protocol === 'ingest' ? ingestName(types) : name}:${type}:${unit}:${ofPeriod}`;
    }
    if (period === 0) throw new Error('a period of 0');
    const ofType = `${type}:${unit}:${ofPeriod}`;
    return ofType === 'samples:count:cpu:nanoseconds' ? CPU_KIND : `${periodType.type}:${ofType}`;
  });
}

/** Names that a series has besides those of the client's tags and of samples. */
const NAMES_ADDED = { ingest: 3, connect: 2, otlp: 5 };

/**
 * Why a real server refuses an upload, by the code that it names; undefined where it takes it, which
 * does not say that it keeps everything.
 */
export function refusalOf({ protocol, series, profile }) {
  const { bytes, samples, timeNanos, types } = profile;
  const refuse = (code, message) => ({ code, message });
  const invalid = (message) => refuse('invalid_argument', message);
  if (protocol !== 'otlp' && bytes > MAX_BYTES) return invalid('size exceeds limit of 4.2 MB');
  if (!series.service_name) return invalid('service name is not provided');
  if (bytes > MAX_AT_ONCE) {
    return refuse('resource_exhausted', 'push rate limit (4.0 MiB) exceeded while adding more');
  }
  const age = BigInt(Date.now()) * 1_000_000n - timeNanos;
  if (age > 3_600n * SECOND || age < -600n * SECOND) return invalid('outside of ingestion window');
  if (samples.length > 16_000) return invalid('exceeds the samples count limit');
  if (samples.some(({ labels }) => labels.length > 100)) return invalid('sample labels limit');
  if (types.some(({ type }) => type.includes('-'))) return invalid('sample type contains -');
  for (const { labels } of samples) {
    const ofSample = labels.filter(([name, value]) => !OF_SAMPLES.has(name) && value !== '');
    const all = { ...series, ...Object.fromEntries(ofSample) };
    if (Object.keys(all).length + NAMES_ADDED[protocol] > 30)
      return invalid('label names; limit 30');
    const long = ([name, value]) =>
      Buffer.byteLength(name) > 1_024 || Buffer.byteLength(value) > 2_048;
    if (Object.entries(all).some(long)) return invalid('label name or value too long');
  }
  return undefined;
}

/** Returns the faults of a decoded profile, of a series with these labels. */
export function complaintsAbout(profile, series, { otlp = false } = {}) {
  const complaints = [];
  const check = (right, complaint) => right || complaints.push(complaint);
  const types = profile.types.map(({ type, unit }) => `${type}/${unit}`).join();
  check(types === (otlp ? 'samples/count' : 'samples/count,cpu/nanoseconds'), `types ${types}`);
  check(!profile.types.some(({ type }) => /wall|-/.test(type)), 'a sample type is renamed');
  const period = `${profile.periodType.type}/${profile.periodType.unit}`;
  check(
    period === 'cpu/nanoseconds' && profile.period >= 1e6,
    `period ${profile.period} ${period}`,
  );
  check(profile.strings[0] === '', 'the first string is not empty');
  check(!profile.strings.some((text) => text.includes('\uFFFD')), 'a string is not UTF-8');

  const now = BigInt(Date.now()) * 1_000_000n;
  const age = now - profile.timeNanos;
  check(age < 3_600n * SECOND && age > -600n * SECOND, `it starts ${age} ns before now`);
  check(profile.durationNanos > 0n && profile.durationNanos < 3_600n * SECOND, 'duration');

  check(profile.samples.length > 0 && profile.samples.length <= 16_000, 'number of samples');
  // 4 MiB are the limit of a profile, but never within that of the rate.
  check((profile.bytes ?? 0) <= MAX_AT_ONCE, `${profile.bytes} bytes`);
  // Other names are stored, but left out of every answer. OTLP has OpenTelemetry's.
  const name = otlp ? /^[A-Za-z_][A-Za-z0-9_.]*$/ : /^[A-Za-z_][A-Za-z0-9_]*$/;
  for (const sample of profile.samples) {
    complaints.push(...complaintsAboutSample(sample, series, name));
  }
  complaints.push(...complaintsAboutSeries(series, name));
  return [...new Set(complaints)];
}

function complaintsAboutSample({ stack, count, nanos, labels }, series, allowed) {
  const complaints = [];
  const check = (right, complaint) => right || complaints.push(complaint);
  check(count > 0 && nanos > 0, `values ${count}, ${nanos}`);
  check(stack.length > 0 && stack.length <= 1_000, `${stack.length} frames`);
  const names = labels.map(([name]) => name);
  check(new Set(names).size === names.length && names.length <= 100, `labels ${names}`);
  check(!(names.includes('profile_id') && names.includes('span_id')), 'profile_id and span_id');
  for (const [name, value] of labels) {
    if (name === 'span_id') check(/^[0-9a-f]{16}$/.test(value), `span_id ${value}`);
    else if (name === 'trace_id') check(/^[0-9a-f]{32}$/.test(value), `trace_id ${value}`);
    else complaints.push(...complaintsAboutLabel(name, value, allowed));
  }
  const ofSeries = names.filter((name) => name !== 'span_id' && name !== 'trace_id').length;
  const all = ofSeries + Object.keys(series).length + SERVER_LABELS;
  check(all <= 30, `${all} label names in a series`);
  return complaints;
}

function complaintsAboutSeries(series, allowed) {
  const complaints = Object.entries(series).flatMap((label) =>
    complaintsAboutLabel(...label, allowed),
  );
  if (!series.service_name) complaints.push('no service_name');
  return complaints;
}

function complaintsAboutLabel(name, value, allowed) {
  const right =
    allowed.test(name) &&
    Buffer.byteLength(name) <= 1_024 &&
    Buffer.byteLength(value) <= 2_048 &&
    value !== '';
  return right ? [] : [`label ${name} = ${value}`];
}

/** The `name` of /ingest; throws where the server's parser answers 400. */
export function parseIngestName(name) {
  const [, app, labels] = /^([^{]*)\{([^}]*)\}$/.exec(name) ?? fail(`name ${name}`);
  if (!/^[A-Za-z0-9_./-]+$/.test(app)) fail(`application name ${app}`);
  const series = {};
  for (const pair of labels === '' ? [] : labels.split(',')) {
    const [, key, value] = /^([A-Za-z0-9_.]+)=(.*)$/s.exec(pair) ?? fail(`label ${pair}`);
    if (key === '__name__' || key in series) fail(`label ${key}`);
    series[key] = value.trim();
  }
  return { app, series };
}

export function fail(message) {
  throw new Error(message);
}
