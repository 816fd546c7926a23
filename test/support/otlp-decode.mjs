/** Decodes OTLP profiles with another library than the one that encodes them, as strictly as a server might. */
import { readFileSync } from 'node:fs';
import protobuf from 'protobufjs';

const source = readFileSync(new URL('./otlp-profiles.proto', import.meta.url), 'utf8');
const Request = protobuf.parse(source, { keepCase: true }).root.lookupType('otlp.Request');
const Partial = protobuf
  .parse(
    `syntax = "proto3"; message Partial { int64 rejected_profiles = 1; string error_message = 2; }
     message Response { Partial partial_success = 1; }`,
    { keepCase: true },
  )
  .root.lookupType('Response');

/** The answer of a server that has refused some of the profiles. */
export function partialSuccess(rejected, message) {
  return Partial.encode({
    partial_success: { rejected_profiles: rejected, error_message: message },
  }).finish();
}

/**
 * The one profile of a request, as `validatePprof` takes profiles, and its resource's attributes.
 * Throws where an index points nowhere, a table does not begin with an empty entry or has one that is
 * not used, or a field is unknown.
 */
export function decodeOtlp(bytes) {
  const message = Request.decode(bytes);
  rejectUnknownFields(message, bytes);
  const [resourceProfiles, ...more] = message.resource_profiles;
  if (more.length > 0 || resourceProfiles.scope_profiles.length !== 1)
    throw new Error('not one profile');
  const [scopeProfiles] = resourceProfiles.scope_profiles;
  const [profile] = scopeProfiles.profiles;
  const tables = message.dictionary;
  const used = new Map();
  const at = (table, index) => {
    if (index < 0 || index >= tables[table].length) throw new Error(`${table} has no ${index}`);
    if (!used.has(table)) used.set(table, new Set([0]));
    used.get(table).add(index);
    return tables[table][index];
  };
  checkFirstEntries(tables);
  const text = (index) => at('string_table', index);
  const valueType = (type) => ({ type: text(type.type_strindex), unit: text(type.unit_strindex) });
  const frame = ({ function_index, line }) => {
    if (function_index === 0) throw new Error('a line without a function');
    const entry = at('function_table', function_index);
    return {
      name: text(entry.name_strindex),
      systemName: text(entry.system_name_strindex),
      file: text(entry.filename_strindex),
      startLine: Number(entry.start_line),
      line: Number(line),
    };
  };
  const sampleType = valueType(profile.sample_type);
  const period = Number(profile.period);
  const samples = profile.samples.map((sample) => {
    const labels = sample.attribute_indices.map((index) => {
      const { key_strindex, value } = at('attribute_table', index);
      return [text(key_strindex), value.string_value];
    });
    if (new Set(labels.map(([key]) => key)).size !== labels.length) throw new Error('a key twice');
    if (sample.link_index !== 0) {
      const link = at('link_table', sample.link_index);
      labels.push(['trace_id', Buffer.from(link.trace_id).toString('hex')]);
      labels.push(['span_id', Buffer.from(link.span_id).toString('hex')]);
    }
    if (sample.values.length !== 1) throw new Error('not one value');
    const count = Number(sample.values[0]);
    const { location_indices } = at('stack_table', sample.stack_index);
    const stack = location_indices.flatMap((index) => at('location_table', index).lines.map(frame));
    return { stack, count, nanos: count * period, labels };
  });
  const periodType = valueType(profile.period_type);
  for (const [name, table] of Object.entries(tables)) {
    if (!name.endsWith('_table') || table.length <= 1) continue;
    const count = used.get(name)?.size ?? 0;
    if (count !== table.length) throw new Error(`${name}: ${table.length - count} are not used`);
  }
  return {
    resource: Object.fromEntries(
      resourceProfiles.resource.attributes.map(({ key, value }) => [key, value.string_value]),
    ),
    linked: profile.samples.filter((sample) => sample.link_index !== 0).length,
    // A server multiplies samples/count by the period, and calls it cpu/nanoseconds.
    types: [sampleType],
    periodType,
    period,
    id: Buffer.from(profile.profile_id).toString('hex'),
    timeNanos: BigInt(String(profile.time_unix_nano)),
    durationNanos: BigInt(String(profile.duration_nano)),
    samples,
    strings: tables.string_table,
  };
}

function checkFirstEntries(tables) {
  for (const [name, table] of Object.entries(tables)) {
    if (!name.endsWith('_table')) continue;
    if (table.length === 0) throw new Error(`${name} is empty`);
    const keys = new Set(table.map((entry) => JSON.stringify(entry)));
    if (keys.size !== table.length) throw new Error(`${name} has an entry twice`);
  }
  if (tables.string_table[0] !== '') throw new Error('string_table[0] is not empty');
  for (const table of ['mapping', 'location', 'function', 'link', 'attribute', 'stack']) {
    const first = tables[`${table}_table`][0];
    if (JSON.stringify(first) !== '{}') throw new Error(`${table}_table[0] is not empty`);
  }
}

/** Throws if a decoded message encodes to fewer bytes: then it had fields that the decoder skipped. */
function rejectUnknownFields(message, bytes) {
  const again = Request.encode(message).finish();
  if (again.length > bytes.length || again.length < bytes.length) {
    throw new Error(`unknown fields: ${bytes.length} bytes, of which ${again.length} are known`);
  }
}
