/** The dictionary of an OTLP profile: the parts that samples share, each stored once. */
import type { ValueType } from '../../util/profile-types.js';
import { WireType } from '@bufbuild/protobuf/wire';
import { GrowingMap, IdMap } from '../../util/growing-maps.js';
import { FieldList } from '../../pprof/field-list.js';
import { NumberKey } from '../../util/number-key.js';
import { ProtobufReader } from '../../profile/protobuf-reader.js';
import { StringList } from '../../pprof/string-list.js';
import { bytes, int32, message, packed, text } from './otlp-fields.js';
import type { PprofIndex } from '../../profile/pprof-index.js';

/** An id of zeros is invalid. */
const TRACE_ID = /^(?!0*$)[0-9a-f]{32}$/;
const SPAN_ID = /^(?!0*$)[0-9a-f]{16}$/;
/** Initial room for frames, of 4 bytes each. */
const SCRATCH_FRAMES = 256;

/** One table of the dictionary. Each entry is stored once; the first is an empty message. */
class Table {
  readonly #list: FieldList;
  readonly #indices = new GrowingMap<string, number>();

  /** `field` is its number in the dictionary. */
  constructor(field: number) {
    this.#list = new FieldList(field);
    this.#list.addBytes(new Uint8Array());
    this.#indices.add('', 0);
  }

  /** Returns the index of the entry with this unique key, which `create` encodes if it is new. */
  indexFor(key: string, create: () => Uint8Array): number {
    let index = this.#indices.get(key);
    if (index === undefined) {
      index = this.#list.length;
      this.#indices.add(key, index);
      this.#list.addBytes(create());
    }
    return index;
  }

  /** Returns the index of an entry whose bytes are its key. */
  indexOf(entry: Uint8Array): number {
    return this.indexFor(textOf(entry), () => entry);
  }

  parts(): Uint8Array[] {
    return this.#list.parts();
  }
}

/** Returns a text with one character per byte. */
function textOf({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('latin1');
}

/** A ProfilesDictionary that is filled by the samples of a profile, one after another. */
export class Dictionary {
  readonly #profile: PprofIndex;
  /** One reader for each kind of message, as they are read while another is being read. */
  readonly #sampleReader: ProtobufReader;
  readonly #labelReader: ProtobufReader;
  readonly #locationReader: ProtobufReader;
  readonly #functionReader: ProtobufReader;
  readonly #locations = new Table(2);
  readonly #functions = new Table(3);
  readonly #links = new Table(4);
  readonly #strings = new StringList(5);
  readonly #attributes = new Table(6);
  readonly #stacks = new Table(7);
  /** Indices of locations and functions by their ids in the profile, which may have duplicates. */
  readonly #locationIndices = new IdMap();
  readonly #functionIndices = new IdMap();
  #scratch = new NumberKey(SCRATCH_FRAMES);

  constructor(profile: PprofIndex) {
    this.#profile = profile;
    this.#sampleReader = new ProtobufReader(profile.bytes);
    this.#labelReader = new ProtobufReader(profile.bytes);
    this.#locationReader = new ProtobufReader(profile.bytes);
    this.#functionReader = new ProtobufReader(profile.bytes);
  }

  /** Encodes a Sample message. */
  sample(index: number): Uint8Array {
    const { samples } = this.#profile;
    const reader = this.#sampleReader;
    let depth = 0;
    const values: number[] = [];
    /** Values by names, both as indices in the profile's table of strings. */
    const labels = new Map<number, number>();
    reader.enter(samples.begin(index), samples.end(index));
    while (reader.next()) {
      if (reader.field === 1) {
        reader.numbers((id) => {
          this.#setLocation(depth++, id);
        });
      } else if (reader.field === 2) reader.numbers((value) => values.push(value));
      else if (reader.field === 3) this.#addLabel(labels, reader.content(), reader.offset);
      else reader.skip();
    }
    const stack = depth === 0 ? 0 : this.#stack(depth);
    const linkIndex = this.#linkOf(labels);
    const attributes = [...labels].map(([key, value]) => this.#attribute(key, value));
    return bytes((writer) => {
      int32(writer, 1, stack);
      packed(writer, 2, attributes);
      int32(writer, 3, linkIndex);
      writer
        .tag(4, WireType.LengthDelimited)
        .fork()
        .int64(values[0] ?? 0)
        .join();
    });
  }

  valueType({ type, unit }: ValueType): Uint8Array {
    const [typeIndex, unitIndex] = [this.#strings.dedup(type), this.#strings.dedup(unit)];
    return bytes((writer) => {
      int32(writer, 1, typeIndex);
      int32(writer, 2, unitIndex);
    });
  }

  /** Returns the fields of the dictionary. Nothing may be added afterwards. */
  parts(): Uint8Array[] {
    const mappings = new Table(1); // stays empty
    return [
      ...mappings.parts(),
      ...this.#locations.parts(),
      ...this.#functions.parts(),
      ...this.#links.parts(),
      ...this.#strings.parts(),
      ...this.#attributes.parts(),
      ...this.#stacks.parts(),
    ];
  }

  #addLabel(labels: Map<number, number>, begin: number, end: number): void {
    const reader = this.#labelReader;
    let key = 0;
    let value = 0;
    reader.enter(begin, end);
    while (reader.next()) {
      if (reader.field === 1) key = reader.number();
      else if (reader.field === 2) value = reader.number();
      else reader.skip();
    }
    labels.set(key, value);
  }

  /** Returns the link to the span of the labels, whose ids it removes; 0 if there is no span. */
  #linkOf(labels: Map<number, number>): number {
    const found = { trace_id: 0, span_id: 0 };
    const keys: number[] = [];
    for (const [key, value] of labels) {
      const name = this.#profile.text(key);
      if (name !== 'trace_id' && name !== 'span_id') continue;
      found[name] = value;
      keys.push(key);
    }
    const traceId = this.#profile.text(found.trace_id);
    const spanId = this.#profile.text(found.span_id);
    // A link needs both ids; one alone stays a label, which Pyroscope accepts.
    if (!TRACE_ID.test(traceId) || !SPAN_ID.test(spanId)) return 0;
    for (const key of keys) labels.delete(key);
    return this.#links.indexFor(traceId + spanId, () => link(traceId, spanId));
  }

  #setLocation(depth: number, id: number): void {
    if (depth === this.#scratch.ids.length) this.#scratch = this.#scratch.twice();
    let index = this.#locationIndices.get(id);
    if (index === undefined) {
      index = this.#locations.indexOf(this.#location(id));
      this.#locationIndices.set(id, index);
    }
    this.#scratch.ids[depth] = index;
  }

  /** Returns the index of the stack of the first `depth` locations that were set. */
  #stack(depth: number): number {
    return this.#stacks.indexFor(this.#scratch.keyOf(depth), () =>
      bytes((writer) => packed(writer, 1, this.#scratch.ids.subarray(0, depth))),
    );
  }

  /** Encodes a Location message. */
  #location(id: number): Uint8Array {
    const { locations, locationOf } = this.#profile;
    const location = locationOf.get(id);
    if (location === undefined) throw new Error('a location is missing');
    const reader = this.#locationReader;
    const lines: { index: number; line: number }[] = [];
    reader.enter(locations.begin(location), locations.end(location));
    while (reader.next()) {
      if (reader.field === 4) lines.push(this.#line(reader));
      else reader.skip();
    }
    return bytes((writer) => {
      for (const { index, line } of lines) {
        message(writer, 3, () => {
          int32(writer, 1, index);
          int32(writer, 2, line);
        });
      }
    });
  }

  #line(reader: ProtobufReader): { index: number; line: number } {
    const found = { index: 0, line: 0 };
    reader.message(() => {
      while (reader.next()) {
        if (reader.field === 1) found.index = this.#function(reader.number());
        else if (reader.field === 2) found.line = reader.number();
        else reader.skip();
      }
    });
    return found;
  }

  #function(id: number): number {
    let index = this.#functionIndices.get(id);
    if (index === undefined) {
      index = this.#functions.indexOf(this.#functionOf(id));
      this.#functionIndices.set(id, index);
    }
    return index;
  }

  /** Encodes a Function message. */
  #functionOf(id: number): Uint8Array {
    const { functions, functionOf } = this.#profile;
    const index = functionOf.get(id);
    if (index === undefined) throw new Error('a function is missing');
    const reader = this.#functionReader;
    /** Name, system name and file. */
    const strings = [0, 0, 0];
    let startLine = 0;
    reader.enter(functions.begin(index), functions.end(index));
    while (reader.next()) {
      const { field } = reader;
      if (field >= 2 && field <= 4) strings[field - 2] = this.#string(reader.number());
      else if (field === 5) startLine = reader.number();
      else reader.skip();
    }
    return bytes((writer) => {
      strings.forEach((string, i) => int32(writer, i + 1, string));
      int32(writer, 4, startLine);
    });
  }

  #attribute(key: number, value: number): number {
    return this.#attributes.indexFor(`${String(key)}:${String(value)}`, () => {
      const keyIndex = this.#string(key);
      return bytes((writer) => {
        int32(writer, 1, keyIndex);
        message(writer, 2, () => text(writer, 1, this.#profile.text(value)));
      });
    });
  }

  /** Returns the index of a string in the profile's table. */
  #string(index: number): number {
    return this.#strings.dedup(this.#profile.text(index));
  }
}

function link(traceId: string, spanId: string): Uint8Array {
  return bytes((writer) => {
    writer.tag(1, WireType.LengthDelimited).bytes(Buffer.from(traceId, 'hex'));
    writer.tag(2, WireType.LengthDelimited).bytes(Buffer.from(spanId, 'hex'));
  });
}
