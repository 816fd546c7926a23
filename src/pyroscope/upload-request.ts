/** Creates the request that uploads one profile, by the configured protocol. */
import type { PyroscopeProtocol, ResolvedPyroscopeConfig } from '../options/pyroscope.js';
import { VERSION } from '../util/version.js';
import { connectRequest } from './protocols/connect.js';
import { ingestRequest } from './protocols/ingest.js';
import { otlpRequest } from './protocols/otlp.js';
import type { ProtocolRequest, Upload } from './protocols/upload.js';

/** Identifies the requests of this package, also in `fetch`'s diagnostics channels. */
export const USER_AGENT = `otelpyroscope/${VERSION}`;

/** A new protocol is a file in protocols/, a line here, and its name in options/pyroscope.ts. */
const REQUEST_OF: Record<PyroscopeProtocol, (upload: Upload) => Promise<ProtocolRequest>> = {
  ingest: ingestRequest,
  connect: connectRequest,
  otlp: otlpRequest,
};

export interface UploadRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** Returns the request. Configured headers replace those of the protocol. */
export async function uploadRequest(
  config: Pick<ResolvedPyroscopeConfig, 'serverAddress' | 'uploadUrl' | 'headers' | 'protocol'>,
  upload: Upload,
): Promise<UploadRequest> {
  const { path, headers, body } = await REQUEST_OF[config.protocol](upload);
  return {
    url: config.uploadUrl ?? config.serverAddress + path,
    headers: { ...headers, 'user-agent': USER_AGENT, ...config.headers },
    body,
  };
}
