/**
 * The protocol `connect`: sends a pprof file in a JSON message, with the labels of its series.
 * https://github.com/grafana/pyroscope/blob/main/api/push/v1/push.proto
 */
import { seriesLabels, SPY, type ProtocolRequest, type Upload } from './upload.js';

export function connectRequest({ id, type, series, gzipped }: Upload): Promise<ProtocolRequest> {
  const labels = {
    __name__: type.pyroscopeName,
    pyroscope_spy: SPY,
    ...seriesLabels(series),
  };
  const message = {
    series: [
      {
        labels: Object.entries(labels).map(([name, value]) => ({ name, value })),
        samples: [{ ID: id, rawProfile: Buffer.from(gzipped).toString('base64') }],
      },
    ],
  };
  return Promise.resolve({
    path: '/push.v1.PusherService/Push',
    headers: { 'content-type': 'application/json', 'connect-protocol-version': '1' },
    body: Buffer.from(JSON.stringify(message)),
  });
}
