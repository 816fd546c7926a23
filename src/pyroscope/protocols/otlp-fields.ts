/** Encodes fields of OTLP messages. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/** Shared by messages that are encoded one after another, never one within another. */
const shared = new BinaryWriter();

export function bytes(write: (writer: BinaryWriter) => void): Uint8Array {
  try {
    write(shared);
  } catch (error) {
    shared.finish();
    throw error;
  }
  return shared.finish();
}

/** Returns a field with the content `parts`, as parts. */
export function framed(field: number, parts: readonly Uint8Array[]): Uint8Array[] {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const head = bytes((writer) => writer.tag(field, WireType.LengthDelimited).uint32(length));
  return [head, ...parts];
}

export function message(writer: BinaryWriter, field: number, write: () => void): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  write();
  writer.join();
}

export function raw(writer: BinaryWriter, field: number, value: Uint8Array): void {
  writer.tag(field, WireType.LengthDelimited).bytes(value);
}

export function text(writer: BinaryWriter, field: number, value: string): void {
  writer.tag(field, WireType.LengthDelimited).string(value);
}

/** Writes a field unless it is 0, the default. */
export function int32(writer: BinaryWriter, field: number, value: number): void {
  if (value !== 0) writer.tag(field, WireType.Varint).int64(value);
}

export function packed(
  writer: BinaryWriter,
  field: number,
  values: ArrayLike<number> & Iterable<number>,
): void {
  if (values.length === 0) return;
  writer.tag(field, WireType.LengthDelimited).fork();
  for (const value of values) writer.int32(value);
  writer.join();
}
