/** An HTTP server for profiles on request and, as an option, the viewer. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { checkNames, integer } from '../options/options.js';
import { asOwnWork } from '../otel/run-untraced.js';
import { http } from '../util/lazy-modules.js';
import { CPU_PROFILE } from '../util/profile-types.js';
import { CpuProfiler } from '../profiler/cpu-profiler.js';
import { isLoopback, isOwnRequest, ownNames } from '../util/request-guard.js';
import { startLiveViewer } from '../viewer-server/live-viewer.js';
import {
  checkHosts,
  HANDLER_OPTION_NAMES,
  handlerFor,
  refuse,
  type PprofHandlerOptions,
} from './pprof-handler.js';

/** Options of the server and of its handler. */
export interface ServePprofOptions extends PprofHandlerOptions {
  /** Default 0: a free port, which `server.address()` returns. */
  port?: number | undefined;
  /**
   * Default 127.0.0.1: profiles reveal much about a program, and there is no authorization. On
   * loopback, the Host of a request must be `localhost`, `127.0.0.1`, `[::1]`, `host` or one of
   * `allowedHosts`. On other interfaces every Host is accepted, unless `allowedHosts` is given: then
   * those names are, and numeric addresses.
   */
  host?: string | undefined;
  /**
   * Whether to serve the viewer's page at `/` too, over the last ten minutes (at most 32 MiB).
   * Samples all the time. Default false. Warns if `host` is not loopback.
   */
  ui?: boolean | undefined;
}

/**
 * Starts a server on loopback for `/debug/pprof/profile`. Resolves when it listens, and rejects with
 * its error if it cannot. It does not keep the process alive; `close()` ends it.
 */
export async function servePprof(options: ServePprofOptions = {}): Promise<Server> {
  checkNames(options, [...HANDLER_OPTION_NAMES, 'port', 'host', 'ui'], () => false);
  const {
    port,
    host = '127.0.0.1',
    ui = false,
    maxSeconds,
    maxConcurrent,
    allowedHosts,
    ...cpu
  } = options;
  const checkedPort = integer('port', port, 0, 0, 65_535);
  if (typeof host !== 'string') throw new TypeError('host must be a string');
  if (typeof ui !== 'boolean') throw new TypeError('ui must be true or false');
  const hosts = allowedHosts === undefined ? [] : checkHosts(allowedHosts);
  const isOwnName = ownNames(host, hosts);
  let isGuarded = true;
  const sendProfile = handlerFor(
    CPU_PROFILE,
    { maxSeconds, maxConcurrent, ...cpu },
    (req) => !isGuarded || isOwnRequest(req, isOwnName),
  );
  const routes = new Map([[CPU_PROFILE.pullPath, sendProfile]]);
  const live = ui
    ? asOwnWork(() => startLiveViewer(CPU_PROFILE, new CpuProfiler(cpu), host, hosts))
    : undefined;
  const server = http().createServer((req, res) => {
    if (live !== undefined && asOwnWork(() => live.handle(req, res))) return;
    const handler = routes.get((req.url ?? '').split('?')[0] as string);
    if (handler === undefined) refuse(res, 404, `there is only ${[...routes.keys()].join(', ')}`);
    else handler(req, res);
  });
  const stop = (): void => {
    // The last window is not needed: its page is gone.
    live?.stop().catch(() => undefined);
  };
  server.once('close', stop);
  await new Promise<void>((resolve, reject) => {
    const failed = (error: Error): void => {
      stop();
      reject(error);
    };
    server.once('error', failed);
    server.listen(checkedPort, host, () => {
      server.off('error', failed);
      // A name given as `host` may resolve to the loopback interface.
      const { address } = server.address() as AddressInfo;
      isGuarded = isLoopback(address) || hosts.length > 0;
      resolve();
    });
  });
  return server.unref();
}
