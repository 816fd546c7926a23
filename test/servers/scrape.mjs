/** A stand-in for Alloy: what its pyroscope.scrape asks of a program, and its pyroscope.write sends to Pyroscope. */
import assert from 'node:assert/strict';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

const USER_AGENT = 'Alloy/v1.12.0 (linux; binary)';

/**
 * One scrape of a target with `delta = true`, handed on by protobuf: the profile that the target has
 * answered.
 * @param {{ target: string, seconds: number, serverAddress: string, tenant: string, serviceName: string }} of
 */
export async function scrape({ target, seconds, serverAddress, tenant, serviceName }) {
  const response = await fetch(`${target}/debug/pprof/profile?seconds=${seconds}`, {
    headers: { 'user-agent': USER_AGENT, 'accept-encoding': 'gzip' },
  });
  const profile = new Uint8Array(await response.arrayBuffer());
  assert.equal(response.status, 200, Buffer.from(profile).toString());
  assert.ok(profile.length > 0);

  // Its other labels begin with "__", and stay with it.
  const labels = {
    __name__: 'process_cpu',
    instance: new URL(target).host,
    job: 'pyroscope.scrape.servers',
    service_name: serviceName,
  };
  const pushed = await fetch(`${serverAddress}/push.v1.PusherService/Push`, {
    method: 'POST',
    headers: {
      'content-type': 'application/proto',
      'connect-protocol-version': '1',
      'user-agent': USER_AGENT,
      'x-scope-orgid': tenant,
    },
    body: pushRequest(labels, profile),
  });
  assert.equal(pushed.status, 200, await pushed.text());
  return profile;
}

/** https://github.com/grafana/pyroscope/blob/main/api/push/v1/push.proto */
function pushRequest(labels, profile) {
  const writer = new BinaryWriter();
  const message = (field, write) => {
    writer.tag(field, WireType.LengthDelimited).fork();
    write();
    writer.join();
  };
  const text = (field, value) => writer.tag(field, WireType.LengthDelimited).string(value);
  message(1, () => {
    for (const [name, value] of Object.entries(labels)) {
      message(1, () => {
        text(1, name);
        text(2, value);
      });
    }
    message(2, () => writer.tag(1, WireType.LengthDelimited).bytes(profile));
  });
  return writer.finish();
}
