/** The viewer's page for the running process, as part of a server: `servePprof({ ui: true })` and `run --serve`. */
import { basename } from 'node:path';
import { warn } from '../util/diagnostics.js';
import { LiveProfile } from './live-profile.js';
import type { CpuProfilerOptions } from '../options/options.js';
import { isLoopback } from '../util/request-guard.js';
import { viewerHandler, type ViewerHandler } from './server.js';
import { ringSource, type ViewerSource } from './source.js';

export interface LiveViewer {
  readonly source: ViewerSource;
  /** Answers the page's requests; false for others. */
  readonly handle: ViewerHandler;
  /** To be called when the server has closed. */
  stop(): Promise<void>;
}

/**
 * Begins to sample for a page at a server that listens at `host`; warns where others than this
 * machine can reach it. `otherNames` are hosts by which it may be asked for besides its own. Throws
 * what `CpuProfiler` throws.
 */
export function startLiveViewer(
  host: string,
  options?: CpuProfilerOptions,
  otherNames?: readonly string[],
): LiveViewer {
  const live = new LiveProfile(options);
  live.start();
  if (!isLoopback(host)) {
    warn(`profiles of this process can be seen by everybody who can reach ${host}`);
  }
  const source = ringSource(basename(process.argv[1] ?? 'node'), live.ring);
  return { source, handle: viewerHandler(source, host, otherNames), stop: () => live.stop() };
}
