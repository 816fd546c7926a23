/** Fields of OTLP messages as bytes, written one after the other. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/** For messages that are made one after the other, never one within another. */
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

/** A field whose content is `parts`, as parts. */
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

/** Zero is what a field is without being written. */
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
