/**
 * Debugs another process as a developer's tools do: a profile, coverage, and breakpoints at which it
 * looks around, steps and goes on. Prints what it has found.
 * Arguments: the source text of the line to stop in, the inspector's URL, the script's URL, how
 * many breakpoints.
 */

import { readFileSync } from 'node:fs';

const [source, url, script, breakpoints] = process.argv.slice(2);
const lineNumber = readFileSync(new URL(script), 'utf8')
  .split('\n')
  .findIndex((line) => line.includes(source));

const socket = new globalThis.WebSocket(url);
const waiting = new Map();
const listeners = {};
let last = 0;
socket.addEventListener('message', ({ data }) => {
  const { id, method, params, result, error } = JSON.parse(data);
  if (id === undefined) {
    listeners[method]?.(params);
    return;
  }
  const { resolve, reject } = waiting.get(id);
  waiting.delete(id);
  if (error === undefined) resolve(result);
  else reject(new Error(error.message));
});
const post = (method, params = {}) =>
  new Promise((resolve, reject) => {
    waiting.set(++last, { resolve, reject });
    socket.send(JSON.stringify({ id: last, method, params }));
  });
const event = (method) => new Promise((resolve) => (listeners[method] = resolve));

await new Promise((resolve, reject) => {
  socket.addEventListener('open', resolve);
  socket.addEventListener('error', reject);
});
await post('Runtime.enable');
await post('Profiler.enable');
await post('Profiler.setSamplingInterval', { interval: 500 });
await post('Profiler.start');
await post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
await post('Debugger.enable');
await post('Debugger.setAsyncCallStackDepth', { maxDepth: 32 });
const found = { paused: 0, stepped: 0, evaluated: 0 };
let paused = event('Debugger.paused');
await post('Debugger.setBreakpointByUrl', { url: script, lineNumber });
for (let i = 0; i < Number(breakpoints); i++) {
  const { callFrames } = await paused;
  found.paused++;
  const { result } = await post('Debugger.evaluateOnCallFrame', {
    callFrameId: callFrames[0].callFrameId,
    expression: 'n + 0',
  });
  if (typeof result.value === 'number') found.evaluated++;
  paused = event('Debugger.paused');
  await post('Debugger.stepOver');
  const { lineNumber: line } = (await paused).callFrames[0].location;
  if (line === lineNumber + 1) found.stepped++;
  paused = event('Debugger.paused');
  await post('Debugger.resume');
}
await paused;
await post('Debugger.disable');
const { result } = await post('Profiler.takePreciseCoverage');
found.covered = result.some(({ functions }) =>
  functions.some(({ functionName, ranges }) => functionName === 'task_stopped' && ranges[0].count),
);
await post('Profiler.stopPreciseCoverage');
const { profile } = await post('Profiler.stop');
found.profiled = profile.nodes.some(({ callFrame }) => callFrame.functionName === 'task_garbage');
console.log(JSON.stringify(found));
socket.close();
