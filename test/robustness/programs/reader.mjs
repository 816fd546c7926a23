/**
 * Reads damaged profiles as the command line and the viewer do, and checks what comes of each.
 * Arguments: how many, and the number of the first: its seed. The input that goes wrong is named.
 */

import assert from 'node:assert/strict';
import { gunzipSync } from 'node:zlib';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { callTree } from '../../../lib/profile/call-tree.js';
import { mergeProfiles } from '../../../lib/profile/model.js';
import { allOf, labelNames, labelRows, topOf, totalOf } from '../../../lib/profile/query.js';
import { traceRows } from '../../../lib/profile/trace-rows.js';
import { readProfile } from '../../../lib/profile/reader.js';
import { atOnce } from '../../../lib/util/time-slices.js';
import { makeProfile, shopProfile, traceId } from '../../support/make-profile.mjs';
import { mutate } from '../../support/mutate-profile.mjs';
import { mainThreadNanos } from '../../support/thread-cpu.mjs';

/** CPU time for one input of 1 MiB at most, and the time after which it hangs. */
const MAX_INPUT_CPU_MS = 10_000;
const HANG_MS = 60_000;
const MAX_MESSAGE = 300;

/** Ends the process where an input takes too long: its own thread has no turn then. */
function watch() {
  const [current] = [new Float64Array(workerData)];
  let last;
  setInterval(() => {
    if (last === current[0]) {
      process.stderr.write(`input ${last} hangs\n`);
      process.kill(process.pid, 'SIGKILL');
    }
    last = current[0];
  }, HANG_MS);
}

/** Makes profiles of every kind: small, many samples, many labels, deep, of several types; the same each time. */
function makeCorpus() {
  const range = (count, make) => Array.from({ length: count }, (_, i) => make(i));
  const stack = (depth) => range(depth, (i) => `f${i % 37} /app/${i % 5}.js:${i}`);
  return [
    shopProfile(),
    makeProfile([{ stack: ['alone'], nanos: 1 }]),
    makeProfile(
      range(300, (i) => ({
        stack: stack(5 + (i % 20)),
        nanos: i * 1e7,
        labels: { trace_id: traceId(i), span_name: `GET /${i % 9}` },
      })),
    ),
    makeProfile([{ stack: stack(3_000), nanos: 1e7, labels: { text: 'é'.repeat(3_000) } }]),
    makeProfile([
      {
        stack: stack(3),
        nanos: 1e7,
        labels: Object.fromEntries(range(200, (i) => [`label ${i}`, 'x'.repeat(i)])),
      },
    ]),
  ].map((bytes) => gunzipSync(bytes));
}

function checkModel(profile) {
  const { names, files, functionOf, lineOf, values, stackStarts, stacks, labelSetOf, labelSets } =
    profile;
  const below = (column, limit) => column.every((value) => value < limit);
  const isText = (text) => typeof text === 'string';
  assert.equal(files.length, names.length);
  assert.ok([...names, ...files, ...Object.values(profile.valueType)].every(isText));
  assert.ok(below(functionOf, names.length) && below(stacks, functionOf.length));
  assert.equal(lineOf.length, functionOf.length);
  assert.ok(values.every(Number.isFinite) && lineOf.every(Number.isFinite));
  assert.ok(Number.isFinite(profile.timeNanos) && Number.isFinite(profile.durationNanos));
  assert.deepEqual([stackStarts.length, labelSetOf.length], [values.length + 1, values.length]);
  assert.ok(stackStarts.every((start, i) => i === 0 || start >= stackStarts[i - 1]));
  assert.equal(stackStarts.at(-1), stacks.length);
  assert.ok(below(labelSetOf, labelSets.length) && labelSets[0].size === 0);
  // And it can be looked at.
  const all = allOf(profile);
  const total = totalOf(profile, all);
  assert.ok(Number.isFinite(total));
  assert.equal(callTree(profile, { a: all }).a, total);
  for (const by of ['function', 'line', 'trace_id']) topOf(profile, all, by);
  for (const { name } of labelNames(profile).slice(0, 3)) labelRows(profile, all, name);
  atOnce(traceRows(profile, all));
  const merged = atOnce(mergeProfiles(profile.valueType, [profile, profile]));
  assert.equal(merged.values.length, 2 * values.length);
}

async function main([count, first]) {
  const current = new Float64Array(new SharedArrayBuffer(8));
  new Worker(new URL(import.meta.url), { workerData: current.buffer }).unref();
  const corpus = makeCorpus();
  for (const whole of corpus) checkModel(await readProfile(whole));
  const counts = { read: 0, refused: 0, slowestMs: 0, messages: {} };
  for (let number = first; number < first + count; number++) {
    current[0] = number;
    const bytes = mutate(corpus, number);
    const begin = mainThreadNanos();
    try {
      checkModel(await readProfile(bytes));
      counts.read++;
    } catch (error) {
      assert.equal(error.constructor.name, 'ProfileReadError', `input ${number}: ${error.stack}`);
      assert.ok(error.message.length < MAX_MESSAGE, `input ${number}: ${error.message}`);
      counts.refused++;
      const kind = error.message.replaceAll(/\d+/g, '#');
      counts.messages[kind] = (counts.messages[kind] ?? 0) + 1;
    }
    const millis = (mainThreadNanos() - begin) / 1e6;
    assert.ok(millis < MAX_INPUT_CPU_MS, `input ${number} of ${bytes.length} bytes: ${millis} ms`);
    counts.slowestMs = Math.max(counts.slowestMs, Math.ceil(millis));
  }
  const { maxRSS } = process.resourceUsage();
  process.send({ ...counts, maxMegabytes: Math.ceil(maxRSS / 1024) });
  process.disconnect();
}

if (isMainThread) await main(process.argv.slice(2).map(Number));
else watch();
