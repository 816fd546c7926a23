/** Starts any of the profilers in the same way: 100 Hz, CPU time and labels where it has them. */

import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { requirePeer } from '../peers.mjs';

const gzipAsync = promisify(gzip);
/** The environment variable with the URL that profiles are uploaded to. */
const SINK = 'BENCH_SINK';
/** The environment variable with the path of the package, if it is not that of this checkout. */
export const OUR_PACKAGE = 'BENCH_PACKAGE';

export const loadOurs = () => import(process.env[OUR_PACKAGE] ?? 'otelpyroscope');

/**
 * @typedef {object} Profiler
 * @property {<T>(labels: Record<string, string>, fn: () => T) => T} run Calls `fn` under labels;
 *   just calls it where there are none.
 * @property {() => Promise<Uint8Array | undefined>} collect The profile since the start or the last
 *   `collect`, as it would be uploaded; profiling goes on.
 * @property {() => Promise<Uint8Array | undefined>} stop The same for the last time.
 * @property {() => Record<string, number> | undefined} metrics Ours only.
 */

const plain = {
  run: (labels, fn) => fn(),
  collect: async () => undefined,
  stop: async () => undefined,
  metrics: () => undefined,
};

async function startOurs(intervalMicros) {
  const { CpuProfiler, withLabels } = await loadOurs();
  const profiler = new CpuProfiler({ intervalMicros });
  profiler.start();
  return {
    run: withLabels,
    collect: () => profiler.collect(),
    stop: () => profiler.stop(),
    metrics: () => profiler.metrics(),
  };
}

/** Returns whether V8 itself carries stores, which Datadog's runWithContext needs. */
function hasAsyncContextFrame() {
  const [major] = process.versions.node.split('.').map(Number);
  return major >= 24 && !process.execArgv.includes('--no-async-context-frame');
}

/** Starts it as Datadog's own tracer does. */
function startDatadog(intervalMicros) {
  const { encode, time } = requirePeer('@datadog/pprof');
  const useCPED = hasAsyncContextFrame();
  const options = { withContexts: true, collectCpuTime: true, lineNumbers: false, useCPED };
  time.start({ ...options, intervalMicros, durationMillis: 60_000 });
  const labelsOf = ({ context }) => ({ ...context?.context });
  const collect = (restart) => encode(time.stop(restart, labelsOf));
  return {
    ...plain,
    run: (labels, fn) => {
      if (useCPED) return time.runWithContext(labels, fn);
      const before = time.getContext();
      time.setContext(labels);
      try {
        return fn();
      } finally {
        time.setContext(before);
      }
    },
    collect: () => collect(true),
    stop: () => collect(false),
  };
}

/** Uploads its profiles to the bench's sink, the only way to get them. */
function startPyroscope(intervalMicros) {
  const { default: Pyroscope } = requirePeer('@pyroscope/nodejs');
  Pyroscope.init({
    serverAddress: process.env[SINK] ?? 'http://127.0.0.1:1',
    appName: 'bench',
    wall: { collectCpuTime: true, samplingIntervalMicros: intervalMicros },
  });
  Pyroscope.startWallProfiling();
  return {
    ...plain,
    run: (labels, fn) => {
      let result;
      Pyroscope.wrapWithLabels(labels, () => (result = fn()));
      return result;
    },
    stop: async () => {
      await Pyroscope.stopWallProfiling();
    },
  };
}

async function startInspector(intervalMicros) {
  const { Session } = await import('node:inspector');
  const session = new Session();
  session.connect();
  const post = promisify(session.post.bind(session));
  await post('Profiler.enable');
  await post('Profiler.setSamplingInterval', { interval: intervalMicros });
  await post('Profiler.start');
  const stop = async () => gzipAsync(JSON.stringify((await post('Profiler.stop')).profile));
  return {
    ...plain,
    collect: async () => {
      const stopped = await post('Profiler.stop');
      await post('Profiler.start');
      return gzipAsync(JSON.stringify(stopped.profile));
    },
    stop,
  };
}

const starters = {
  ours: startOurs,
  datadog: startDatadog,
  pyroscope: startPyroscope,
  inspector: startInspector,
};

/** Loads the profiler of that name, for programs that measure its start only. */
export async function loadProfiler(mode) {
  if (mode === 'ours') await loadOurs();
  if (mode === 'datadog') requirePeer('@datadog/pprof');
  if (mode === 'pyroscope') requirePeer('@pyroscope/nodejs');
  if (mode === 'inspector') await import('node:inspector');
}

/**
 * Starts the profiler of that name; any other name (`off`, `again`) starts none.
 * @returns {Promise<Profiler>}
 */
export async function startProfiler(mode, { intervalMicros = 10_000 } = {}) {
  return (await starters[mode]?.(intervalMicros)) ?? plain;
}

/** Returns our own counts between two `metrics()`, in nanoseconds; undefined for others. */
export function ownNanos(before, after) {
  if (after === undefined) return undefined;
  const between = (name) => after[name] - before[name];
  return {
    handler: between('handlerNanos'),
    drain: between('drainNanos'),
    'code events': between('jitEventNanos'),
  };
}

/** Ends the program with its result, even if work is left. */
export function report(result) {
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit());
}
