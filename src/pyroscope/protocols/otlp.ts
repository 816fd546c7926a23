/** The protocol `otlp`: sends an OTLP profile, with the series as its resource. */
import { gunzipInSlices } from '../../util/gunzip.js';
import { gzipped as gzip } from '../../util/gzip.js';
import { inSlices } from '../../util/time-slices.js';
import { encodeOtlp } from './otlp-encoder.js';
import { SPY, type ProtocolRequest, type Series, type Upload } from './upload.js';

export async function otlpRequest({ id, type, series, gzipped }: Upload): Promise<ProtocolRequest> {
  const pprof = await gunzipInSlices(gzipped);
  const body = await gzip(await inSlices(encodeOtlp(type, pprof, resourceOf(series), id)));
  return {
    path: '/v1development/profiles',
    headers: { 'content-type': 'application/x-protobuf', 'content-encoding': 'gzip' },
    body,
  };
}

/** Returns attributes with OpenTelemetry's names: Pyroscope stores `service.name` as `service_name`. */
function resourceOf({ tags, ...series }: Series): Record<string, string> {
  const { service_name: name, service_namespace: namespace, ...others } = tags;
  const serviceNamespace = namespace ?? others['service.namespace'] ?? series.serviceNamespace;
  return {
    pyroscope_spy: SPY,
    ...others,
    'service.name': name ?? others['service.name'] ?? series.serviceName,
    ...(serviceNamespace === undefined ? {} : { 'service.namespace': serviceNamespace }),
  };
}
