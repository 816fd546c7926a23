/** Messages of protobuf made up for tests, field by field, whatever sense they make. */

/** A field: a number, or bytes with their length. */
export function field(number, value) {
  if (typeof value === 'number') return Buffer.concat([varint(number * 8), varint(value)]);
  const bytes = Buffer.isBuffer(value) ? value : Buffer.from(value);
  return Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);
}

function varint(value) {
  const bytes = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return Buffer.from([...bytes, value]);
}

/** @param {...[number, number | string | Buffer]} fields */
export const message = (...fields) =>
  Buffer.concat(fields.map(([number, value]) => field(number, value)));

/** A profile of four strings (the last is 3), one sample type, one function, and what comes besides. */
export function minimal(...fields) {
  return message(
    ...['', 'cpu', 'nanoseconds', 'main'].map((text) => [6, text]),
    [1, message([1, 1], [2, 2])],
    [5, message([1, 1], [2, 3])],
    ...fields,
  );
}
