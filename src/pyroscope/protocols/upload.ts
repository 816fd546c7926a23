/** Types that all protocols share: the upload, and the request that a protocol creates for it. */
import type { ProfileType } from '../../util/profile-types.js';
import { withShownNames } from './label-names.js';

/** The name of the profiler for Pyroscope: that of Node.js. */
export const SPY = 'nodespy';

/** Labels of the series that a profile belongs to. */
export interface Series {
  /** The exact value of the label `service_name`. */
  readonly serviceName: string;
  readonly serviceNamespace: string | undefined;
  readonly tags: Readonly<Record<string, string>>;
}

/** Facts about a profile that need no decoding of all of it. */
export interface ProfileSummary {
  readonly samples: number;
  readonly startNanos: bigint;
  readonly durationNanos: bigint;
  readonly periodNanos: number;
}

export interface Upload {
  /** A UUID, the same at all tries. Not in the protocol ingest, which has no place for it. */
  readonly id: string;
  readonly type: ProfileType;
  readonly series: Series;
  /** A pprof profile. */
  readonly gzipped: Uint8Array;
  readonly summary: ProfileSummary;
}

/** A POST request without the server's address and the headers that all requests have. */
export interface ProtocolRequest {
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** Returns the labels of a series as Pyroscope stores them. The user's tags replace the others. */
export function seriesLabels({
  serviceName,
  serviceNamespace,
  tags,
}: Series): Record<string, string> {
  return {
    service_name: serviceName,
    ...(serviceNamespace === undefined ? {} : { service_namespace: serviceNamespace }),
    ...withShownNames(tags),
  };
}
