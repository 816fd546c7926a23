/** A server that has profiles on request, and the viewer where it is asked for. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { checkNames, integer } from '../options/options.js';
import { asOwnWork } from '../otel/run-untraced.js';
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

/** Of the server; what is not its own goes to the handler. */
export interface ServePprofOptions extends PprofHandlerOptions {
  /** Default 0: a free one; `server.address()` tells which. */
  port?: number | undefined;
  /**
   * Default 127.0.0.1: profiles tell much about a program, and there is no authorization. On
   * loopback, requests must name `localhost`, `127.0.0.1`, `[::1]`, `host` or one of `allowedHosts`
   * as their Host. At other interfaces nobody is refused unless there are `allowedHosts`: then those
   * names pass too, and addresses in numbers.
   */
  host?: string | undefined;
  /**
   * Whether to serve the viewer's page at `/` too, over the last ten minutes (at most 32 MiB).
   * Samples all the time. Default false. With a host that is not loopback, a warning says so.
   */
  ui?: boolean | undefined;
}

/**
 * A server on loopback with `/debug/pprof/profile`; resolves when it listens, and rejects with its
 * error where it cannot. It does not keep the process alive; `close()` ends it.
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
  const server = createServer((req, res) => {
    if (live !== undefined && asOwnWork(() => live.handle(req, res))) return;
    const handler = routes.get((req.url ?? '').split('?')[0] as string);
    if (handler === undefined) refuse(res, 404, `there is only ${[...routes.keys()].join(', ')}`);
    else handler(req, res);
  });
  const stop = (): void => {
    // What the last window held is of no use to a page that is gone.
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
      // A name of the user's may be one of the loopback interface.
      const { address } = server.address() as AddressInfo;
      isGuarded = isLoopback(address) || hosts.length > 0;
      resolve();
    });
  });
  return server.unref();
}
