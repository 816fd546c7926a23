/** The viewer of the running process, for `servePprof({ ui: true })` and `run --serve`. */
import { basename } from 'node:path';
import { warn } from '../util/diagnostics.js';
import { LiveProfile } from './live-profile.js';
import type { CpuProfiler } from '../profiler/cpu-profiler.js';
import type { ProfileType } from '../util/profile-types.js';
import { isLoopback } from '../util/request-guard.js';
import { viewerHandler, type ViewerHandler } from './server.js';
import { ringSource, type ViewerSource } from './source.js';

export interface LiveViewer {
  readonly source: ViewerSource;
  /** Answers the page's requests; returns false for others. */
  readonly handle: ViewerHandler;
  /** Called by the server when it has closed. */
  stop(): Promise<void>;
}

/**
 * Starts `profiler`, which takes profiles of `type`, for the page of a server that listens at
 * `host`. Warns where other machines can reach it. `otherNames` are further hosts that its requests
 * may name. Throws what `CpuProfiler.start` throws.
 */
export function startLiveViewer(
  type: ProfileType,
  profiler: CpuProfiler,
  host: string,
  otherNames?: readonly string[],
): LiveViewer {
  const live = new LiveProfile(profiler);
  live.start();
  if (!isLoopback(host)) {
    warn(`profiles of this process can be seen by everybody who can reach ${host}`);
  }
  const source = ringSource(basename(process.argv[1] ?? 'node'), type, live.ring);
  return { source, handle: viewerHandler(source, host, otherNames), stop: () => live.stop() };
}
