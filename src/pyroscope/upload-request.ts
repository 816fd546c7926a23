/** What an upload says, in each of the three protocols (pure, but for the compression). */
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { warnOnce } from '../util/diagnostics.js';
import { gunzipInSlices } from '../util/gunzip.js';
import type { ResolvedPyroscopeConfig } from '../options/pyroscope.js';
import { inSlices } from '../util/time-slices.js';
import { VERSION } from '../util/version.js';
import { withShownNames } from './label-names.js';
import { encodeOtlp } from './protocols/otlp.js';
import type { ProfileSummary } from './server-limits.js';

const gzipAsync = promisify(gzip);

/** Marks the requests of this package, in `fetch`'s diagnostics as well. */
export const USER_AGENT = `otelpyroscope/${VERSION}`;
/** What Pyroscope knows profilers of Node.js by. */
const SPY = 'nodespy';

export interface UploadRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** Who a profile is of: the labels of its series. */
export interface Series {
  /** Exact: the label `service_name`. */
  readonly serviceName: string;
  readonly serviceNamespace: string | undefined;
  readonly tags: Readonly<Record<string, string>>;
}

/** The request that uploads one gzipped pprof profile. */
export async function uploadRequest(
  config: Pick<ResolvedPyroscopeConfig, 'serverAddress' | 'headers' | 'protocol'>,
  series: Series,
  gzipped: Uint8Array,
  summary: ProfileSummary,
): Promise<UploadRequest> {
  const common = { 'user-agent': USER_AGENT, ...config.headers };
  switch (config.protocol) {
    case 'ingest':
      return {
        url: `${config.serverAddress}/ingest?${String(ingestQuery(series, summary))}`,
        headers: { 'content-type': 'application/octet-stream', ...common },
        body: gzipped,
      };
    case 'connect':
      return {
        url: `${config.serverAddress}/push.v1.PusherService/Push`,
        headers: { 'content-type': 'application/json', 'connect-protocol-version': '1', ...common },
        body: Buffer.from(JSON.stringify(pushBody(series, gzipped))),
      };
    case 'otlp':
      return {
        url: `${config.serverAddress}/v1development/profiles`,
        headers: {
          'content-type': 'application/x-protobuf',
          'content-encoding': 'gzip',
          ...common,
        },
        body: await otlpBody(gzipped, series),
      };
  }
}

async function otlpBody(gzipped: Uint8Array, series: Series): Promise<Uint8Array> {
  const pprof = await gunzipInSlices(gzipped);
  return gzipAsync(await inSlices(encodeOtlp(pprof, otlpResource(series))));
}

/** https://grafana.com/docs/pyroscope/latest/reference-server-api/ */
function ingestQuery(series: Series, summary: ProfileSummary): URLSearchParams {
  return new URLSearchParams({
    name: ingestName(series),
    from: String(summary.startNanos),
    until: String(summary.startNanos + summary.durationNanos),
    spyName: SPY,
    sampleRate: String(Math.max(1, Math.round(1e9 / (summary.periodNanos || 1e7)))),
    format: 'pprof',
  });
}

/** There is no quoting: the application's part takes few characters, a value no `,` and no `}`. */
function ingestName(series: Series): string {
  const name = series.serviceName.replace(/[^A-Za-z0-9_./-]/g, '_');
  const labels = Object.entries(labelsOf(series)).map(([key, value]) => {
    const allowed = value.replace(/[,}]/g, '_');
    if (allowed !== value) {
      warnOnce(
        `pyroscope-value ${key}`,
        `"," and "}" in the label ${key} become "_": the protocol ingest cannot express them`,
      );
    }
    return `${key}=${allowed}`;
  });
  return `${name}{${labels.join(',')}}`;
}

/** https://github.com/grafana/pyroscope/blob/main/api/push/v1/push.proto */
function pushBody(series: Series, gzipped: Uint8Array): object {
  const labels = { __name__: 'process_cpu', pyroscope_spy: SPY, ...labelsOf(series) };
  return {
    series: [
      {
        labels: Object.entries(labels).map(([name, value]) => ({ name, value })),
        samples: [{ ID: randomUUID(), rawProfile: Buffer.from(gzipped).toString('base64') }],
      },
    ],
  };
}

/** Tags are the user's own, and win. */
function labelsOf({ serviceName, serviceNamespace, tags }: Series): Record<string, string> {
  return {
    service_name: serviceName,
    ...(serviceNamespace === undefined ? {} : { service_namespace: serviceNamespace }),
    ...withShownNames(tags),
  };
}

/** Pyroscope makes labels of these: `service.name` becomes `service_name`. */
function otlpResource({ tags, ...series }: Series): Record<string, string> {
  const { service_name: name, service_namespace: namespace, ...others } = tags;
  const serviceNamespace = namespace ?? others['service.namespace'] ?? series.serviceNamespace;
  return {
    pyroscope_spy: SPY,
    ...others,
    'service.name': name ?? others['service.name'] ?? series.serviceName,
    ...(serviceNamespace === undefined ? {} : { 'service.namespace': serviceNamespace }),
  };
}
