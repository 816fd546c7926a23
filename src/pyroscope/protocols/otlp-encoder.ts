/** Converts a pprof profile to an OTLP profile (pure). */
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { joined } from '../../util/time-slices.js';
import type { ProfileType } from '../../util/profile-types.js';
import { VERSION } from '../../util/version.js';
import { Dictionary } from './otlp-dictionary.js';
import { bytes, framed, message, raw, text } from './otlp-fields.js';
import { PprofIndex } from '../../profile/pprof-index.js';

/** Attributes of a resource, with OpenTelemetry's names. */
export type ResourceAttributes = Readonly<Record<string, string>>;

/** Samples that are encoded in one step. */
const STEP_SAMPLES = 8;

/**
 * Encodes an ExportProfilesServiceRequest with one profile, in steps. Its samples have the count of
 * `type`, its period is in the main value, and samples are linked to their spans. `id` is a UUID.
 * Throws if `pprof` is no profile. Format: opentelemetry-proto 1.10,
 * https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/profiles/v1development/profiles.proto
 * (the numbers below are its field numbers).
 */
export function* encodeOtlp(
  type: ProfileType,
  pprof: Uint8Array,
  resource: ResourceAttributes,
  id: string,
): Generator<void, Uint8Array> {
  const profile = yield* PprofIndex.of(pprof);
  const dictionary = new Dictionary(profile);
  const samples: Uint8Array[] = [];
  const writer = new BinaryWriter();
  for (let i = 0; i < profile.samples.length; i++) {
    raw(writer, 2, dictionary.sample(i));
    if (i % STEP_SAMPLES !== 0) continue;
    samples.push(writer.finish());
    yield;
  }
  samples.push(writer.finish());
  const count = dictionary.valueType(type.count);
  const main = dictionary.valueType(type.main);
  const profileParts = [
    bytes((to) => {
      raw(to, 1, count);
    }),
    ...samples,
    bytes((to) => {
      to.tag(3, WireType.Bit64).fixed64(profile.timeNanos);
      to.tag(4, WireType.Varint).uint64(profile.durationNanos);
      raw(to, 5, main);
      to.tag(6, WireType.Varint).int64(profile.period);
      raw(to, 7, Buffer.from(id.replaceAll('-', ''), 'hex'));
    }),
  ];
  const scopeProfiles = [scope(), ...framed(2, profileParts)];
  const resourceProfiles = [resourceOf(resource), ...framed(2, scopeProfiles)];
  return yield* joined([...framed(1, resourceProfiles), ...framed(2, dictionary.parts())]);
}

function resourceOf(attributes: ResourceAttributes): Uint8Array {
  return bytes((writer) => {
    message(writer, 1, () => {
      for (const [name, value] of Object.entries(attributes)) {
        message(writer, 1, () => {
          text(writer, 1, name);
          message(writer, 2, () => text(writer, 1, value));
        });
      }
    });
  });
}

function scope(): Uint8Array {
  return bytes((writer) => {
    message(writer, 1, () => {
      text(writer, 1, 'otelpyroscope');
      text(writer, 2, VERSION);
    });
  });
}

/** Returns the number of profiles that the server has rejected, and its reason. */
export function decodeOtlpResponse(body: Uint8Array): { rejected: number; message: string } {
  const result = { rejected: 0, message: '' };
  const reader = new BinaryReader(body);
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
