/** Damages pprof profiles, from a seed: bytes, the fields that they are made of, and their gzip. */

import { gzipSync } from 'node:zlib';

/** Largest input that is made, before it is compressed. */
export const MAX_INPUT_BYTES = 1 << 20;
/** Which fields of a message are messages: https://github.com/google/pprof/blob/main/proto/profile.proto */
const PROFILE = { 1: {}, 2: { 3: {} }, 3: {}, 4: { 4: {} }, 5: {}, 11: {} };
/** Numbers at which readers of 7, 31, 32, 53, 63 and 64 bits go wrong. */
const EXTREMES = [0n, 1n, 0x7fn, 2n ** 31n, 2n ** 32n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];

/** Numbers that look random, the same for the same seed: mulberry32. */
export function randomOf(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return { below: (limit) => Math.floor(next() * limit) };
}

function varint(value) {
  const bytes = [];
  for (; value > 127n; value >>= 7n) bytes.push(Number(value & 127n) | 128);
  return Buffer.from([...bytes, Number(value)]);
}

/** A message as a list of fields, those of known messages as lists again. */
function parse(bytes, schema) {
  const fields = [];
  let at = 0;
  const readVarint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(readVarint());
    const field = { number: tag >> 3, type: tag & 7, value: readVarint() };
    fields.push(field);
    if (field.type !== 2) continue;
    const inner = bytes.subarray(at, (at += Number(field.value)));
    const known = schema[field.number];
    field.value = known === undefined ? inner : parse(inner, known);
  }
  return fields;
}

function encode(fields) {
  return Buffer.concat(
    fields.map(({ number, type, value, lie, times = 1 }) => {
      const parts = [varint((BigInt(number) << 3n) | BigInt(type))];
      if (typeof value === 'bigint') {
        parts.push(varint(value));
      } else {
        const bytes = Array.isArray(value) ? encode(value) : value;
        parts.push(varint(lie ?? BigInt(bytes.length)), bytes);
      }
      const field = Buffer.concat(parts);
      if (times === 1) return field;
      // A message whose parts are repeated may be repeated itself.
      const fitting = Math.max(1, Math.floor(MAX_INPUT_BYTES / field.length));
      return Buffer.alloc(Math.min(times, fitting) * field.length, field);
    }),
  );
}

const copyOf = (fields) =>
  fields.map((field) => ({
    ...field,
    value: Array.isArray(field.value) ? copyOf(field.value) : field.value,
  }));

const FIELD_CHANGES = {
  drop: ({ fields, at }) => fields.splice(at, 1),
  repeat: ({ field, random }) => {
    const most = Math.floor(MAX_INPUT_BYTES / 2 / encode([{ ...field, times: 1 }]).length);
    field.times = Math.max(1, Math.min(most, 2 ** random.below(19)));
  },
  move: ({ fields, at, random }) =>
    fields.splice(random.below(fields.length), 0, ...fields.splice(at, 1)),
  number: ({ field, random }) => {
    const extreme = EXTREMES[random.below(EXTREMES.length)];
    if (typeof field.value === 'bigint') field.value = extreme;
    else field.lie = extreme;
  },
  rename: ({ field, random }) => (field.number = 1 + random.below(16)),
  type: ({ field, random }) => (field.type = random.below(8)),
  nest: ({ field, random }) => {
    if (Array.isArray(field.value)) field.value.push({ ...field, value: copyOf(field.value) });
    else if (field.type === 2) field.value = Buffer.alloc(random.below(20_000), random.below(256));
  },
  splice: ({ fields, at, other, random }) =>
    fields.splice(at, 0, other[random.below(other.length)]),
};

/** The fields of the message itself, or of one within. */
function chooseFields(fields, random) {
  let chosen = fields;
  for (;;) {
    const inner = chosen.filter(({ value }) => Array.isArray(value) && value.length > 0);
    if (inner.length === 0 || random.below(3) === 0) return chosen;
    chosen = inner[random.below(inner.length)].value;
  }
}

function changeFields(bytes, other, random) {
  const fields = parse(bytes, PROFILE);
  const changes = Object.values(FIELD_CHANGES);
  for (let left = 1 + random.below(4); left > 0; left--) {
    const chosen = chooseFields(fields, random);
    if (chosen.length === 0) continue;
    const at = random.below(chosen.length);
    changes[random.below(changes.length)]({
      fields: chosen,
      at,
      field: chosen[at],
      other: parse(other, PROFILE),
      random,
    });
  }
  return encode(fields).subarray(0, MAX_INPUT_BYTES);
}

const BYTE_CHANGES = [
  (bytes, at, random) => ((bytes[at] ^= 1 << random.below(8)), bytes),
  (bytes, at, random) => ((bytes[at] = random.below(256)), bytes),
  (bytes, at) => bytes.fill(0xff, at, Math.min(at + 11, bytes.length)),
  (bytes, at) => bytes.subarray(0, at),
  (bytes, at, random) =>
    Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.below(40))]),
  (bytes, at, random) =>
    Buffer.concat([bytes.subarray(0, at), bytes.subarray(at - random.below(at + 1))]),
  (bytes, at, random, other) =>
    Buffer.concat([bytes.subarray(0, at), other.subarray(random.below(other.length))]),
];

function changeBytes(bytes, other, random) {
  let changed = Buffer.from(bytes);
  for (let left = 1 + random.below(6); left > 0 && changed.length > 0; left--) {
    const change = BYTE_CHANGES[random.below(BYTE_CHANGES.length)];
    changed = change(changed, random.below(changed.length), random, other);
  }
  return changed.subarray(0, MAX_INPUT_BYTES);
}

/**
 * Input of that number from the profiles: damaged as bytes, as fields or both; some of it gzipped,
 * and some of that damaged again.
 *
 * @param {Buffer[]} corpus Plain pprof.
 * @param {number} seed
 */
export function mutate(corpus, seed) {
  const random = randomOf(seed);
  const [whole, other] = [random, random].map(({ below }) => corpus[below(corpus.length)]);
  let bytes = whole;
  const kind = random.below(8);
  if (kind > 1) bytes = changeFields(bytes, other, random);
  if (kind < 2 || kind === 7) bytes = changeBytes(bytes, other, random);
  if (random.below(4) > 0) return bytes;
  const packed = gzipSync(bytes, { level: 1 });
  const next = random.below(4);
  if (next === 0) return packed;
  if (next === 1) return Buffer.concat([packed, gzipSync(other)]);
  return changeBytes(packed, other, random);
}
