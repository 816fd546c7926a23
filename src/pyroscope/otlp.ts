/** A pprof profile as an OTLP profile (pure). */
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { Profile, type Function as PprofFunction, type Location, type Sample } from 'pprof-format';
import { VERSION } from '../version.js';

/** Labels of a resource: names as OpenTelemetry has them. */
export type ResourceAttributes = Readonly<Record<string, string>>;

const TRACE_ID = /^[0-9a-f]{32}$/;
const SPAN_ID = /^[0-9a-f]{16}$/;

/**
 * An ExportProfilesServiceRequest with one profile, of sample type `samples/count` and period type
 * `cpu/nanoseconds`, whose samples are linked to their spans. Format: opentelemetry-proto 1.10,
 * https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/profiles/v1development/profiles.proto
 * (the numbers below are its field numbers).
 */
export function encodeOtlp(pprof: Uint8Array, resource: ResourceAttributes): Uint8Array {
  const profile = Profile.decode(pprof);
  const dictionary = new Dictionary(profile);
  const samples = profile.sample.map((sample) => dictionary.sample(sample));
  const count = dictionary.valueType('samples', 'count');
  const nanos = dictionary.valueType('cpu', 'nanoseconds');

  const writer = new BinaryWriter();
  message(writer, 1, () => {
    // ResourceProfiles
    message(writer, 1, () => {
      for (const [name, value] of Object.entries(resource)) {
        message(writer, 1, () => {
          text(writer, 1, name);
          message(writer, 2, () => text(writer, 1, value));
        });
      }
    });
    message(writer, 2, () => {
      // ScopeProfiles
      message(writer, 1, () => {
        text(writer, 1, 'otelpyroscope');
        text(writer, 2, VERSION);
      });
      message(writer, 2, () => {
        // Profile
        raw(writer, 1, count);
        for (const sample of samples) raw(writer, 2, sample);
        writer.tag(3, WireType.Bit64).fixed64(BigInt(profile.timeNanos));
        writer.tag(4, WireType.Varint).uint64(BigInt(profile.durationNanos));
        raw(writer, 5, nanos);
        writer.tag(6, WireType.Varint).int64(BigInt(profile.period));
      });
    });
  });
  message(writer, 2, () => {
    dictionary.write(writer);
  });
  return writer.finish();
}

/** How many profiles a server's answer says it has refused, and why. */
export function decodeOtlpAnswer(answer: Uint8Array): { rejected: number; message: string } {
  const result = { rejected: 0, message: '' };
  const reader = new BinaryReader(answer);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field !== 1) {
      reader.skip(wireType, field);
      continue;
    }
    const end = reader.uint32() + reader.pos;
    while (reader.pos < end) {
      const [inner, innerType] = reader.tag();
      if (inner === 1) result.rejected = Number(reader.int64());
      else if (inner === 2) result.message = reader.string();
      else reader.skip(innerType, inner);
    }
  }
  return result;
}

/** One table of the dictionary: equal entries have one place, and the first is empty. */
class Table {
  readonly #entries: Uint8Array[];
  readonly #places = new Map<string, number>();

  constructor(empty: Uint8Array = new Uint8Array()) {
    this.#entries = [empty];
    this.#places.set(`=${Buffer.from(empty).toString('latin1')}`, 0);
  }

  place(key: string, create: () => Uint8Array): number {
    let place = this.#places.get(key);
    if (place === undefined) {
      const entry = create();
      // pprof may have the same function under two ids.
      const content = `=${Buffer.from(entry).toString('latin1')}`;
      place = this.#places.get(content) ?? this.#entries.push(entry) - 1;
      this.#places.set(content, place).set(key, place);
    }
    return place;
  }

  write(writer: BinaryWriter, field: number): void {
    for (const entry of this.#entries) raw(writer, field, entry);
  }
}

/** ProfilesDictionary. */
class Dictionary {
  readonly #source: readonly string[];
  readonly #locationsById: Map<number, Location>;
  readonly #functionsById: Map<number, PprofFunction>;
  readonly #strings = new Map<string, number>([['', 0]]);
  readonly #locations = new Table();
  readonly #functions = new Table();
  readonly #links = new Table(link('0'.repeat(32), '0'.repeat(16)));
  readonly #attributes = new Table();
  readonly #stacks = new Table();

  constructor(profile: Profile) {
    this.#source = profile.stringTable.strings;
    this.#locationsById = new Map(profile.location.map((entry) => [Number(entry.id), entry]));
    this.#functionsById = new Map(profile.function.map((entry) => [Number(entry.id), entry]));
  }

  sample({ locationId, value, label }: Sample): Uint8Array {
    const locations = locationId.map((id) => this.#location(Number(id)));
    const stack = this.#stacks.place(locations.join(), () =>
      bytes((writer) => packed(writer, 1, locations)),
    );
    const labels = new Map(label.map(({ key, str }) => [this.#text(key), this.#text(str)]));
    const traceId = labels.get('trace_id') ?? '';
    const spanId = labels.get('span_id') ?? '';
    let linkIndex = 0;
    // A link has both; Pyroscope takes one alone as a label like any other.
    if (TRACE_ID.test(traceId) && SPAN_ID.test(spanId)) {
      linkIndex = this.#links.place(traceId + spanId, () => link(traceId, spanId));
      labels.delete('trace_id');
      labels.delete('span_id');
    }
    const attributes = [...labels].map(([name, text]) => this.#attribute(name, text));
    return bytes((writer) => {
      int32(writer, 1, stack);
      packed(writer, 2, attributes);
      int32(writer, 3, linkIndex);
      writer
        .tag(4, WireType.LengthDelimited)
        .fork()
        .int64(BigInt(value[0] ?? 0))
        .join();
    });
  }

  valueType(type: string, unit: string): Uint8Array {
    const [typeIndex, unitIndex] = [this.#string(type), this.#string(unit)];
    return bytes((writer) => {
      int32(writer, 1, typeIndex);
      int32(writer, 2, unitIndex);
    });
  }

  write(writer: BinaryWriter): void {
    new Table().write(writer, 1); // Mappings: there are none.
    this.#locations.write(writer, 2);
    this.#functions.write(writer, 3);
    this.#links.write(writer, 4);
    for (const string of this.#strings.keys()) text(writer, 5, string);
    this.#attributes.write(writer, 6);
    this.#stacks.write(writer, 7);
  }

  #location(id: number): number {
    return this.#locations.place(String(id), () => {
      const lines = (this.#locationsById.get(id) as Location).line.map(({ functionId, line }) => ({
        index: this.#function(Number(functionId)),
        line: Number(line),
      }));
      return bytes((writer) => {
        for (const { index, line } of lines) {
          message(writer, 3, () => {
            int32(writer, 1, index);
            int32(writer, 2, line);
          });
        }
      });
    });
  }

  #function(id: number): number {
    return this.#functions.place(String(id), () => {
      const entry = this.#functionsById.get(id) as PprofFunction;
      const indexes = [entry.name, entry.systemName, entry.filename].map((index) =>
        this.#string(this.#text(index)),
      );
      return bytes((writer) => {
        indexes.forEach((index, i) => int32(writer, i + 1, index));
        int32(writer, 4, Number(entry.startLine));
      });
    });
  }

  #attribute(name: string, value: string): number {
    return this.#attributes.place(`${name}\0${value}`, () => {
      const key = this.#string(name);
      return bytes((writer) => {
        int32(writer, 1, key);
        message(writer, 2, () => text(writer, 1, value));
      });
    });
  }

  #string(text: string): number {
    let index = this.#strings.get(text);
    if (index === undefined) {
      index = this.#strings.size;
      this.#strings.set(text, index);
    }
    return index;
  }

  #text(index: number | bigint): string {
    return this.#source[Number(index)] as string;
  }
}

function link(traceId: string, spanId: string): Uint8Array {
  return bytes((writer) => {
    writer.tag(1, WireType.LengthDelimited).bytes(Buffer.from(traceId, 'hex'));
    writer.tag(2, WireType.LengthDelimited).bytes(Buffer.from(spanId, 'hex'));
  });
}

function bytes(write: (writer: BinaryWriter) => void): Uint8Array {
  const writer = new BinaryWriter();
  write(writer);
  return writer.finish();
}

function message(writer: BinaryWriter, field: number, write: () => void): void {
  writer.tag(field, WireType.LengthDelimited).fork();
  write();
  writer.join();
}

function raw(writer: BinaryWriter, field: number, value: Uint8Array): void {
  writer.tag(field, WireType.LengthDelimited).bytes(value);
}

function text(writer: BinaryWriter, field: number, value: string): void {
  writer.tag(field, WireType.LengthDelimited).string(value);
}

/** Zero is what a field is without being written. */
function int32(writer: BinaryWriter, field: number, value: number): void {
  if (value !== 0) writer.tag(field, WireType.Varint).int64(value);
}

function packed(writer: BinaryWriter, field: number, values: readonly number[]): void {
  if (values.length === 0) return;
  writer.tag(field, WireType.LengthDelimited).fork();
  for (const value of values) writer.int32(value);
  writer.join();
}
