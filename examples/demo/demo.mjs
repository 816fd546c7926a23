/**
 * `npm run demo [-- --view] [-- --requests N] [-- --out FILE]`: profiles a traced service under load,
 * prints tables of the profile, and shows it in the browser with `--view`.
 */

import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { readProfile } from '../../test/support/read-profile.mjs';
import * as report from './report.mjs';

const LOAD_SECONDS = 14;
const PROGRESS_MS = 2_000;
/** After this time the demo fails. */
const DEADLINE_MS = 90_000;
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const { values: options } = parseArgs({
  options: {
    view: { type: 'boolean' },
    /** Number of requests; without it the load ends after LOAD_SECONDS. */
    requests: { type: 'string' },
    out: { type: 'string', default: path.join(ROOT, 'demo.pb.gz') },
  },
});
const output = path.resolve(options.out);
const shownOutput = path.relative(process.cwd(), output);

const children = [];

try {
  const deadline = sleep(DEADLINE_MS, undefined, { ref: false }).then(() => {
    throw new Error(`Gave up after ${DEADLINE_MS / 1_000} s.`);
  });
  process.exitCode = await Promise.race([demo(), deadline]);
} catch (error) {
  console.error(`\nThe demo failed: ${error.message}`);
  process.exitCode = 1;
} finally {
  for (const child of children) child.kill();
}
if (options.view && process.exitCode === 0) view();

async function demo() {
  say('Starting an Express service with the http and express instrumentations …');
  const service = start('./service.cjs');
  const { port } = await service.next('listening');
  await service.ask('start', 'started');

  const amount =
    options.requests === undefined ? `${LOAD_SECONDS} s` : `${options.requests} requests`;
  say(`Profiling it at 127.0.0.1:${port} under ${amount} of load from a second process …`);
  const load = await applyLoad(service, `http://127.0.0.1:${port}`);
  const result = await service.ask('stop', 'stopped');
  await writeWhole(output, result.profile);

  return show(result, load);
}

/** Writes a file; if that fails, such as on a full disk, an earlier one stays as it was. */
async function writeWhole(file, bytes) {
  const temporary = `${file}.tmp`;
  try {
    await writeFile(temporary, bytes);
    await rename(temporary, file);
  } finally {
    await rm(temporary, { force: true });
  }
}

/** Runs the load to its end and prints a line of progress every two seconds. */
async function applyLoad(service, url) {
  const limits = [String(LOAD_SECONDS), ...(options.requests ? [options.requests] : [])];
  const load = start('./load.mjs', [url, ...limits]);
  let answered = 0;
  load.child.on('message', (message) => (answered = message.answered));
  const finished = load.next('done');
  finished.catch(() => {}); // Awaited below: until then a failure is not unhandled.

  let last = { at: performance.now(), answered: 0, cpuMicros: 0 };
  const began = last.at;
  for (;;) {
    const ended = await Promise.race([finished.then(() => true), sleep(PROGRESS_MS, false)]);
    if (ended) return finished;
    const status = await service.ask('status', 'status');
    const now = { at: performance.now(), answered, cpuMicros: status.cpuMicros };
    const seconds = (now.at - last.at) / 1_000;
    const perSecond = Math.round((now.answered - last.answered) / seconds);
    const cpu = (now.cpuMicros - last.cpuMicros) / 1e6 / seconds;
    say(
      `${Math.round((now.at - began) / 1_000)} s`.padStart(6) +
        `${report.count(answered)} requests`.padStart(18) +
        `${report.count(perSecond)} a second`.padStart(16) +
        `${Math.round(cpu * 100)} % CPU`.padStart(11) +
        `${report.count(status.spans)} spans exported`.padStart(24),
    );
    last = now;
  }
}

function show({ profile: bytes, cpuMicros, metrics, spans, dropped }, load) {
  const analysis = report.analyse(readProfile(bytes), spans, cpuMicros * 1_000);
  const { profile, share, processNanos, unknownIds, wrongNames } = analysis;

  say(
    `\n${report.count(load.answered)} requests, half of them within ${load.p50} ms, ` +
      `${report.count(spans.length)} spans, ${report.count(profile.totalCount)} samples of ` +
      `${profile.period / 1e6} ms, ${report.count(metrics.droppedSamples)} dropped.`,
  );
  say('\nCPU by span name\n');
  say(indent(report.spanTable(analysis)));
  say('\nThe five most expensive traces, and the functions that ran in them\n');
  say(indent(report.traceReport(analysis)));
  say(
    `\n${report.percent(share)} of the process's ${report.millis(processNanos)} of CPU carry ` +
      'trace_id, span_id and span_name.',
  );
  if (unknownIds.length === 0 && wrongNames.length === 0) {
    say('Every id in the profile is that of an exported span, and every name that of its span.');
  }

  say(`\nWritten: ${shownOutput}. Explore it with\n`);
  say(
    indent([
      `npx otelpyroscope view ${shownOutput}`,
      `npx otelpyroscope top ${shownOutput} --traces`,
    ]),
  );
  say('\nor, with Go installed, with\n');
  say(
    indent([
      `go tool pprof -http=: ${shownOutput}`,
      `go tool pprof -sample_index=cpu -tags ${shownOutput}`,
      `go tool pprof -top -tagfocus=span_id=${report.hottestSpanId(analysis)} ${shownOutput}`,
    ]),
  );

  const problems = report.problems(analysis, load, dropped);
  for (const problem of problems) console.error(`\nWRONG: ${problem}`);
  return problems.length === 0 ? 0 : 1;
}

/** Shows the profile in the browser until Ctrl-C, which the terminal sends to both processes. */
function view() {
  process.on('SIGINT', () => {});
  spawn(process.execPath, [`${ROOT}lib/cli/main.js`, 'view', output], {
    stdio: 'inherit',
  });
}

/** A child process whose messages are awaited by their type; its early end is an error. */
function start(file, args = []) {
  const path = fileURLToPath(new URL(file, import.meta.url));
  const child = fork(path, args, { serialization: 'advanced' });
  children.push(child);
  const exit = once(child, 'exit');
  const waiting = new Map();
  child.on('message', (message) => waiting.get(message.type)?.resolve(message));
  // Not 'exit': messages that the child sent before it ended may still arrive after that event.
  child.once('disconnect', async () => {
    const [code, signal] = await exit;
    const how = signal === null ? `exit code ${code}` : `killed by ${signal}`;
    for (const { reject } of waiting.values()) reject(new Error(`${file} ended early: ${how}.`));
  });
  return {
    child,
    next(type) {
      return new Promise((resolve, reject) => {
        if (!child.connected) reject(new Error(`${file} is no longer there.`));
        waiting.set(type, { resolve, reject });
      });
    },
    ask(command, answer) {
      const answered = this.next(answer);
      if (child.connected) child.send(command);
      return answered;
    },
  };
}

function say(text) {
  console.log(text);
}

function indent(lines) {
  return lines.map((line) => `  ${line}`).join('\n');
}
