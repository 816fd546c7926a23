/** `otelpyroscope attach`: profiles a process that runs already, through its inspector. */
import path from 'node:path';
import {
  hasClosed,
  InspectorSession,
  openInspector,
  type InspectorAddress,
} from '../attach/inspector.js';
import { RemoteProfiler, type TargetInfo } from '../attach/remote-profiler.js';
import { AttachError, TargetProcess } from '../attach/target-process.js';
import { DEFAULT_INTERVAL_MICROS, type LabelOptions } from '../options/options.js';
import { refusedClock, type ClockInUse } from '../util/sample-clock.js';
import { waitAtMost } from '../util/clock.js';
import { CPU_PROFILE } from '../util/profile-types.js';
import { LiveProfile } from '../viewer-server/live-profile.js';
import { startViewer } from '../viewer-server/server.js';
import { ringSource } from '../viewer-server/source.js';
import { CommandError, parseCommand, UsageError, wholeNumber } from './arguments.js';
import { printMessage } from './messages.js';
import {
  outFile,
  PROFILE_OPTIONS,
  profileOptions,
  scopeOption,
  type ProfileOptions,
} from './profile-options.js';
import { printable } from './text.js';
import { writeProfile } from './written-profile.js';

export const ATTACH_HELP = `Usage: otelpyroscope attach PID [options]

Profiles a Node.js process that runs already, without restart: opens its
inspector by SIGUSR1, loads the sampler, and closes the inspector at the end.
If the process has an OpenTelemetry SDK, its spans are labels.

  --seconds N             default 10; Ctrl-C ends it earlier, with the profile
  --out FILE|DIR          default: NAME-PID.${CPU_PROFILE.fileName}, here
  --interval MICROS       CPU time between samples, default ${String(DEFAULT_INTERVAL_MICROS)}
  --clock CLOCK           "auto" (the default), "perf", "precise" or "tick"; see:
                          help run
  --span-id-scope SCOPE   the span whose id is a label: "none", "root" (the
                          default: the first of its trace in the process), "all"
  --span-name-scope SCOPE the same for its name
  --serve                 a live view in the browser, until Ctrl-C

It needs the rights to signal the process: the same user, or root.
`;

const DEFAULT_SECONDS = 10;
const MAX_SECONDS = 86_400;
const MIN_NODE = [20, 6] as const;
/** Signals that end the profile; a second one ends the command. */
const SIGNALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

interface Options extends ProfileOptions {
  /** Infinity: until Ctrl-C. */
  readonly seconds: number;
  readonly out: string | undefined;
  readonly labels: LabelOptions;
}

/** Resolves to the exit code. */
export async function attach(args: readonly string[]): Promise<number> {
  const { pid, options } = parse(args);
  try {
    const target = new TargetProcess(pid);
    const interrupted = interruption();
    const address = await openInspector(target);
    const { bytes, info, clock } = await withSession(target, address, (session) =>
      profile(session, address.opened, interrupted, options),
    );
    const sampling = { intervalMicros: options.intervalMicros, clocks: [clock] };
    await writeProfile(fileFor(options.out, info), bytes, sampling).catch((error: unknown) => {
      throw new CommandError(`the profile is lost: ${(error as Error).message}`);
    });
    return 0;
  } catch (error) {
    if (!(error instanceof AttachError)) throw error;
    throw new CommandError(error.message);
  }
}

function parse(args: readonly string[]): { pid: number; options: Options } {
  const { values, positionals } = parseCommand(args, {
    ...PROFILE_OPTIONS,
    seconds: { type: 'string' },
  });
  const [text, ...rest] = positionals;
  if (text === undefined) throw new UsageError('attach needs the PID of a process');
  if (rest.length > 0) throw new UsageError(`one PID only, not also ${rest.join(' ')}`);
  const pid = wholeNumber('PID', text, 1, 2 ** 31 - 1);
  // Throws before the process is touched.
  if (values.out !== undefined) outFile(values.out, CPU_PROFILE.fileName);
  return {
    pid,
    options: {
      ...profileOptions(values),
      seconds: secondsOf(values.seconds, values.serve),
      out: values.out,
      labels: {
        spanIdScope: scopeOption('span-id-scope', values['span-id-scope']),
        spanNameScope: scopeOption('span-name-scope', values['span-name-scope']),
      },
    },
  };
}

function secondsOf(text: string | undefined, serve: boolean): number {
  if (text !== undefined) return wholeNumber('--seconds', text, 1, MAX_SECONDS);
  return serve ? Infinity : DEFAULT_SECONDS;
}

/** Calls `work` with a session; then closes the inspector, unless it was open before. */
async function withSession<T>(
  target: TargetProcess,
  { url, socket, opened }: InspectorAddress,
  work: (session: InspectorSession) => Promise<T>,
): Promise<T> {
  const session = await InspectorSession.connect(url).catch((error: unknown) => {
    throw target.refusal(`has an inspector that cannot be used: ${(error as Error).message}`);
  });
  try {
    return await work(session);
  } catch (error) {
    if (!(error instanceof AttachError)) throw error;
    throw target.refusal(`cannot be profiled: ${error.message}`);
  } finally {
    if (opened) await session.closeInspector();
    session.disconnect();
    if (opened && !(await hasClosed(target, socket))) {
      printMessage(`its inspector at port ${String(socket.port)} could not be closed`);
    }
  }
}

async function profile(
  session: InspectorSession,
  closesInspector: boolean,
  interrupted: Promise<void>,
  options: Options,
): Promise<{ bytes: Uint8Array; info: TargetInfo; clock: ClockInUse }> {
  const { intervalMicros, clock, labels, serve, seconds } = options;
  const info = await RemoteProfiler.info(session);
  checkVersion(info);
  const settings = { intervalMicros, clock, labels, live: serve, closesInspector };
  const profiler = await RemoteProfiler.begin(session, settings);
  try {
    const { attached } = profiler;
    const name = printable(nameOf(info));
    const time = seconds === Infinity ? '' : ` for ${String(seconds)} s`;
    printMessage(
      `profiling ${name}, Node.js ${info.version}${attached.traced ? '' : ', without OpenTelemetry'}${time}; Ctrl-C ends it`,
    );
    const endView = serve ? await serveLive(profiler, name) : undefined;
    await waitAtMost(seconds * 1_000, [interrupted, profiler.ended]);
    endView?.();
    const metrics = await profiler.clock();
    const refusal = refusedClock(clock, metrics);
    if (refusal !== undefined) printMessage(refusal);
    return { bytes: await profiler.end(), info, clock: metrics.clock };
  } finally {
    await profiler.leave().catch(() => undefined);
  }
}

function checkVersion({ runtime, version }: TargetInfo): void {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const [minMajor, minMinor] = MIN_NODE;
  const isOld = major < minMajor || (major === minMajor && minor < minMinor);
  if (runtime === 'node' && !isOld) return;
  throw new AttachError(
    `it is ${runtime} ${version}; Node.js ${MIN_NODE.join('.')} or later is supported`,
  );
}

/** Serves the page from this process, with windows of the other one. Returns what ends it. */
async function serveLive(profiler: RemoteProfiler, name: string): Promise<() => void> {
  const live = new LiveProfile(profiler);
  live.start();
  const { server, url } = await startViewer(ringSource(name, CPU_PROFILE, live.ring)).catch(
    (error: unknown) => {
      throw new CommandError(`cannot listen: ${(error as Error).message}`);
    },
  );
  printMessage(`live view: ${url}`);
  return () => {
    server.closeAllConnections();
    server.close();
  };
}

/** Resolves at the first signal that asks to end; the second one has its default action. */
function interruption(): Promise<void> {
  return new Promise((resolve) => {
    const listener = (): void => {
      for (const signal of SIGNALS) process.removeListener(signal, listener);
      resolve();
    };
    for (const signal of SIGNALS) process.on(signal, listener);
  });
}

function nameOf({ script }: TargetInfo): string {
  return script === '' ? 'node' : path.basename(script);
}

function fileFor(out: string | undefined, info: TargetInfo): string {
  const name = printable(path.parse(nameOf(info)).name).replace(/[^\w.-]/g, '_');
  return outFile(out, `${name}-${String(info.pid)}.${CPU_PROFILE.fileName}`);
}
