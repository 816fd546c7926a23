/**
 * Another tool in the same process, started and stopped in some order with our profiler.
 * Arguments: the tool; steps, by comma: ours+ ours- theirs+ theirs-, work; seconds of CPU for each.
 */

import { Session } from 'node:inspector';
import { createRequire } from 'node:module';
import { setImmediate as turn } from 'node:timers/promises';
import { withLabels } from 'otelpyroscope';
import { processMicros } from '../../support/thread-cpu.mjs';
import { Tortured } from './harness.mjs';
import { KINDS } from './work.mjs';

const [tool, steps, seconds] = process.argv.slice(2);
const KINDS_OF_WORK = ['garbage', 'code', 'builtins', 'hops'];

/** A function of some kind of work: one kind alone may have less CPU than a sampler looks at. */
const isOfTask = (name) => name.startsWith('task_');

let session;
const post = (method, params) =>
  new Promise((resolve, reject) => {
    session.post(method, params, (error, result) => (error ? reject(error) : resolve(result)));
  });
function connect() {
  session = new Session();
  session.connect();
}

/** Each: how it starts, and how it stops and shows that it has worked. */
const tools = {
  'V8 profiler': {
    async start() {
      connect();
      await post('Profiler.enable');
      await post('Profiler.setSamplingInterval', { interval: 500 });
      await post('Profiler.start');
    },
    async stop() {
      const { profile } = await post('Profiler.stop');
      return profile.nodes.some((node) => isOfTask(node.callFrame.functionName));
    },
  },
  coverage: {
    async start() {
      connect();
      await post('Profiler.enable');
      await post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
    },
    async stop() {
      const { result } = await post('Profiler.takePreciseCoverage');
      await post('Profiler.stopPreciseCoverage');
      return result.some(({ functions }) =>
        functions.some((fn) => fn.functionName === 'task_garbage'),
      );
    },
  },
  'heap sampling': {
    async start() {
      connect();
      await post('HeapProfiler.enable');
      await post('HeapProfiler.startSampling', { samplingInterval: 16_384 });
    },
    async stop() {
      const { profile } = await post('HeapProfiler.stopSampling');
      return profile.samples.length > 0;
    },
  },
  'heap snapshots': {
    async start() {
      connect();
      await post('HeapProfiler.enable');
      await post('HeapProfiler.startTrackingHeapObjects', { trackAllocations: true });
    },
    async stop() {
      let bytes = 0;
      session.on(
        'HeapProfiler.addHeapSnapshotChunk',
        ({ params }) => (bytes += params.chunk.length),
      );
      await post('HeapProfiler.takeHeapSnapshot');
      await post('HeapProfiler.stopTrackingHeapObjects');
      return bytes > 1e6;
    },
  },
  debugger: {
    async start() {
      connect();
      await post('Runtime.enable');
      await post('Debugger.enable');
      await post('Debugger.setAsyncCallStackDepth', { maxDepth: 32 });
      await post('Debugger.setBreakpointByUrl', { urlRegex: 'never-there', lineNumber: 1 });
    },
    async stop() {
      await post('Debugger.disable');
      session.disconnect();
      return true;
    },
  },
  Datadog: {
    start() {
      const { time } = createRequire(import.meta.url)('@datadog/pprof');
      this.time = time;
      time.start({
        durationMillis: 60_000,
        intervalMicros: 1_000,
        withContexts: true,
        lineNumbers: false,
      });
    },
    stop() {
      const profile = this.time.stop();
      return profile.stringTable.strings.some(isOfTask);
    },
  },
};

const tortured = new Tortured();
const theirs = tools[tool];
let theirsWorked = 0;
let report;

async function work() {
  const end = processMicros() + Number(seconds) * 1e6;
  await Promise.all(
    KINDS_OF_WORK.map((kind) =>
      withLabels({ task: kind }, async () => {
        while (processMicros() < end) {
          await KINDS[kind]();
          await turn();
        }
      }),
    ),
  );
}

for (const step of steps.split(',')) {
  if (step === 'work') await work();
  if (step === 'theirs+') await theirs.start();
  if (step === 'theirs-' && (await theirs.stop())) theirsWorked++;
  if (step === 'ours+') tortured.start();
  if (step === 'ours-') report = await tortured.stop();
}
process.send({ ...report, theirsWorked }, () => process.disconnect());
