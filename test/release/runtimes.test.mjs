/** Runs the tarball under Bun and Deno: labels and spans work, and start() says that there are no profiles. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { publishedTarball } from './published.mjs';
import { environmentOf, installTools } from './tools.mjs';

/** The argument says what labels the spans. */
const PROGRAM = `
  const assert = require('node:assert/strict');
  const { trace } = require('@opentelemetry/api');
  const { NodeTracerProvider } = require('@opentelemetry/sdk-trace-node');
  const { CpuProfiler, TracerProvider, getLabels, register, startPyroscope, withLabels } =
    require('otelpyroscope');
  const later = () => new Promise((resolve) => setTimeout(resolve, 5));
  (async () => {
    await withLabels({ a: 'b' }, async () => {
      await later();
      assert.deepEqual(getLabels(), { a: 'b' });
    });
    assert.deepEqual(getLabels(), {});
    const sdk = new NodeTracerProvider();
    if (process.argv[2] === 'register') register();
    const provider = process.argv[2] === 'register' ? sdk : new TracerProvider(sdk);
    provider.register();
    await trace.getTracer('t').startActiveSpan('work', async (span) => {
      await later();
      const { trace_id, span_id, span_name } = getLabels();
      const { traceId, spanId } = span.spanContext();
      assert.deepEqual({ trace_id, span_id, span_name }, { trace_id: traceId, span_id: spanId, span_name: 'work' });
      assert.equal(span.attributes['pyroscope.profile.id'], spanId);
      span.end();
    });
    const agent = startPyroscope({ applicationName: 'shop', serverAddress: 'http://127.0.0.1:9' });
    console.log(agent.metrics().lastError);
    await agent.stop();
    assert.throws(() => new CpuProfiler().start(), { code: 'ERR_UNSUPPORTED_PLATFORM' });
  })().catch((error) => { console.error(error); process.exitCode = 1; });`;

describe('another runtime than Node.js', function () {
  this.timeout(300_000);
  let directory;
  let tools;

  before(function () {
    tools = installTools();
    directory = mkdtempSync(path.join(os.tmpdir(), 'runtimes-'));
    writeFileSync(path.join(directory, 'package.json'), '{ "private": true }\n');
    const packages = ['@opentelemetry/api@~1.9.0', '@opentelemetry/sdk-trace-node@~2.12.0'];
    const quiet = ['--no-audit', '--no-fund', '--loglevel=error', '--prefer-offline'];
    execFileSync('npm', ['install', ...quiet, publishedTarball().file, ...packages], {
      cwd: directory,
    });
    writeFileSync(path.join(directory, 'app.cjs'), PROGRAM);
  });

  after(function () {
    rmSync(directory, { recursive: true });
  });

  for (const [name, tool, ...args] of [
    ['Bun', 'bun', 'run'],
    ['Deno', 'deno', 'run', '--allow-all'],
  ]) {
    for (const way of ['TracerProvider', 'register']) {
      it(`labels spans by ${way} and reports that there are no profiles: ${name}`, function () {
        const command = path.join(tools, '.bin', tool);
        const env = environmentOf(path.dirname(process.execPath), directory);
        const options = { cwd: directory, encoding: 'utf8', env, timeout: 60_000 };
        const { status, stdout, stderr } = spawnSync(command, [...args, 'app.cjs', way], options);
        assert.equal(status, 0, stderr);
        const sentence = `the CPU profiler does not support ${name} \\(this is ${name} [\\d.]+\\), only Node\\.js; labels and spans work without it`;
        assert.match(stdout, new RegExp(`^${sentence}\n$`));
        // One warning; Bun adds how to see where it comes from.
        const [warning, ...others] = stderr.split('\n').filter((line) => !line.startsWith('(Use '));
        assert.match(
          warning,
          new RegExp(
            `OtelPyroscopeWarning: otelpyroscope: no profiles for Pyroscope: ${sentence}$`,
          ),
        );
        assert.deepEqual(others, ['']);
      });
    }
  }
});
