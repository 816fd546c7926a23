/** The profile as others read it: Go's pprof, and the rules that Pyroscope has beyond its own. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { readProfile } from '../../support/read-profile.mjs';
import { messageOf, runCode } from '../../support/run-child.mjs';
import { needsProgram } from '../../support/needs.mjs';

const run = promisify(execFile);
const INTERVAL_MICROS = 4_000;

/** Two spans that burn CPU, profiled into the file that the environment names. */
const PROGRAM = `
  const { writeFileSync } = require('node:fs');
  const { NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');
  const { CpuProfiler, Scope, TracerProvider } = require('otelpyroscope');
  const { burnSampled } = require('./test/support/burn.cjs');

  const provider = new TracerProvider(new NodeTracerProvider(), {
    spanIdScope: Scope.AllSpans,
    spanNameScope: Scope.AllSpans,
  });
  provider.register();
  const profiler = new CpuProfiler({ intervalMicros: ${INTERVAL_MICROS} });
  profiler.start();
  const spans = {};
  for (const name of ['first', 'second']) {
    provider.getTracer('test').startActiveSpan(name, (span) => {
      spans[name] = span.spanContext();
      burnSampled(200);
      span.end();
    });
  }
  profiler.stop().then((bytes) => {
    writeFileSync(process.env.PROFILE, bytes);
    process.send(spans);
    process.disconnect();
  });
`;

describe('a profile of the builder', function () {
  this.timeout(60_000);

  let spans;
  let bytes;
  let directory;
  let file;

  before(async () => {
    directory = mkdtempSync(path.join(os.tmpdir(), 'pprof-'));
    file = path.join(directory, 'cpu.pb.gz');
    spans = await messageOf(runCode(PROGRAM, { env: { PROFILE: file } }));
    bytes = readFileSync(file);
  });

  after(() => rmSync(directory, { recursive: true }));

  it('has the types that Pyroscope stores as process_cpu', () => {
    const profile = readProfile(bytes);
    assert.deepEqual(profile.types, [
      { type: 'samples', unit: 'count' },
      { type: 'cpu', unit: 'nanoseconds' },
    ]);
    assert.deepEqual(profile.periodType, { type: 'cpu', unit: 'nanoseconds' });
    assert.equal(profile.period, INTERVAL_MICROS * 1_000);
    assert.ok(Math.abs(profile.timeNanos / 1e6 - Date.now()) < 60_000);
    assert.ok(profile.durationNanos > 2e8 && profile.durationNanos < 6e10);
    assert.ok(profile.samples.length > 0);
    for (const { count, nanos, labels, stack } of profile.samples) {
      assert.ok(count > 0 && nanos === count * profile.period);
      assert.ok(stack.length > 0 && stack.every((frame) => frame.name !== ''));
      if (labels.trace_id !== undefined) assert.match(labels.trace_id, /^[0-9a-f]{32}$/);
      if (labels.span_id !== undefined) assert.match(labels.span_id, /^[0-9a-f]{16}$/);
    }
  });

  it('has functions but not their lines without lineNumbers', async () => {
    const { with: lines, without } = await messageOf(
      runCode(`
        const { CpuProfiler } = require('otelpyroscope');
        const { burnSampled } = require('./test/support/burn.cjs');
        const withLines = new CpuProfiler();
        const without = new CpuProfiler({ lineNumbers: false });
        withLines.start();
        without.start();
        function twoCalls() {
          burnSampled(50);
          burnSampled(50);
        }
        twoCalls();
        Promise.all([withLines.stop(), without.stop()]).then(([a, b]) => {
          process.send({ with: [...a], without: [...b] });
          process.disconnect();
        });
      `),
    );
    const framesOf = (sent) =>
      readProfile(Uint8Array.from(sent))
        .samples.flatMap(({ stack }) => stack)
        .filter(({ name }) => name === 'twoCalls');
    assert.deepEqual(
      new Set(framesOf(lines).map(({ line, startLine }) => line - startLine)),
      new Set([1, 2]),
    );
    const plain = framesOf(without);
    assert.ok(plain.length > 0 && plain.every(({ line, startLine }) => line === startLine));
    const keys = readProfile(Uint8Array.from(without)).samples.map(({ stack, labels }) =>
      JSON.stringify([stack.map((f) => [f.name, f.file, f.startLine]), labels]),
    );
    assert.equal(new Set(keys).size, keys.length);
    writeFileSync(path.join(directory, 'plain.pb.gz'), Uint8Array.from(without));
  });

  describe('read by Go', function () {
    before(function () {
      needsProgram('go', this);
    });

    const pprof = async (...args) => {
      const { stdout } = await run('go', ['tool', 'pprof', ...args, file]);
      return stdout;
    };

    it('is accepted', async () => {
      assert.match(await pprof('-raw'), /PeriodType: cpu nanoseconds\nPeriod: 4000000\n/);
    });

    it('is accepted without line numbers', async () => {
      const plain = path.join(directory, 'plain.pb.gz');
      const { stdout } = await run('go', ['tool', 'pprof', '-raw', plain]);
      assert.match(stdout, /PeriodType: cpu nanoseconds\n/);
    });

    it('has the tags of the spans', async () => {
      const tags = await pprof('-sample_index=cpu', '-tags');
      for (const name of ['first', 'second']) {
        const { traceId, spanId } = spans[name];
        for (const value of [traceId, spanId, name]) assert.ok(tags.includes(value), tags);
      }
    });

    it('is reduced by a span id to that span', async () => {
      const nanos = readProfile(bytes).nanosBy('span_id').get(spans.second.spanId);
      const top = await pprof('-top', '-unit=ms', `-tagfocus=span_id=${spans.second.spanId}`);
      assert.match(top, /burn/);
      const shown = /nodes accounting for ([\d.]+)ms|Showing nodes.*?, ([\d.]+)ms/i.exec(top);
      assert.equal(Number(shown?.[1] ?? shown?.[2]), nanos / 1e6, top);
    });
  });
});
