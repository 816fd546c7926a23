/** What every protocol uploads, and the request that each makes of it. */
import type { ProfileType } from '../../util/profile-types.js';
import { withShownNames } from './label-names.js';

/** The profiler that Pyroscope takes the profiles for: Node.js. */
export const SPY = 'nodespy';

/** Labels of the series that a profile belongs to. */
export interface Series {
  /** The label `service_name`, exactly. */
  readonly serviceName: string;
  readonly serviceNamespace: string | undefined;
  readonly tags: Readonly<Record<string, string>>;
}

/** What is known of a profile without decoding all of it. */
export interface ProfileSummary {
  readonly samples: number;
  readonly startNanos: bigint;
  readonly durationNanos: bigint;
  readonly periodNanos: number;
}

export interface Upload {
  readonly type: ProfileType;
  readonly series: Series;
  /** A pprof profile. */
  readonly gzipped: Uint8Array;
  readonly summary: ProfileSummary;
}

/** A POST request, but for the server's address and the headers that all requests have. */
export interface ProtocolRequest {
  /** With the query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** Labels of a series as Pyroscope stores them. Tags are the user's own, and win. */
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
