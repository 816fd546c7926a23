/**
 * The protocol `ingest`: sends a pprof file, with the series and the times in the query.
 * https://grafana.com/docs/pyroscope/latest/reference-server-api/
 */
import { warnOnce } from '../../util/diagnostics.js';
import { seriesLabels, SPY, type ProtocolRequest, type Series, type Upload } from './upload.js';

export function ingestRequest({ series, gzipped, summary }: Upload): Promise<ProtocolRequest> {
  const query = new URLSearchParams({
    name: ingestName(series),
    from: String(summary.startNanos),
    until: String(summary.startNanos + summary.durationNanos),
    spyName: SPY,
    sampleRate: String(Math.max(1, Math.round(1e9 / (summary.periodNanos || 1e7)))),
    format: 'pprof',
  });
  return Promise.resolve({
    path: `/ingest?${String(query)}`,
    headers: { 'content-type': 'application/octet-stream' },
    body: gzipped,
  });
}

/** The parameter `name`, which has no quoting: its name part allows few characters, a value no `,` and no `}`. */
function ingestName(series: Series): string {
  const name = series.serviceName.replace(/[^A-Za-z0-9_./-]/g, '_');
  const labels = Object.entries(seriesLabels(series)).map(([key, value]) => {
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
