/** Checks who hears a warning: the diag logger, or the process where there is none. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { logDiag } from '../../support/diag-log.mjs';
import { runCode } from '../../support/run-child.mjs';
import { PyroscopeServer } from '../../support/pyroscope-server.mjs';

const require = createRequire(import.meta.url);
const diagnostics = require('../../../lib/util/diagnostics.js');
const { deliverHeldWarnings, emitHeldWarnings, holdWarnings, warn, warnOnce } = diagnostics;

describe('a warning', () => {
  let emitted;
  const onWarning = ({ name, message }) => emitted.push(`${name}: ${message}`);
  const tick = () => new Promise((resolve) => setImmediate(resolve));

  beforeEach(() => {
    emitted = [];
    process.on('warning', onWarning);
  });
  afterEach(() => process.off('warning', onWarning));

  it('is a process warning where no logger is set, once per cause', async () => {
    warn('lost', new Error('why'));
    for (let i = 0; i < 3; i++) warnOnce('this test', 'said once');
    await tick();
    assert.deepEqual(emitted, [
      'OtelPyroscopeWarning: otelpyroscope: lost: why',
      'OtelPyroscopeWarning: otelpyroscope: said once',
    ]);
  });

  it('goes to the logger alone where there is one', async () => {
    const log = logDiag();
    warn('lost', new Error('why'));
    log.close();
    await tick();
    assert.deepEqual(log.messages, ['otelpyroscope: lost Error: why']);
    assert.deepEqual(emitted, []);
  });

  it('waits for a logger, and is a process warning if none comes', async () => {
    holdWarnings();
    warn('first');
    const log = logDiag();
    deliverHeldWarnings();
    log.close();
    warn('second');
    await tick();
    assert.deepEqual(log.messages, ['otelpyroscope: first']);
    assert.deepEqual(emitted, []);
    emitHeldWarnings();
    warn('third');
    await tick();
    const expected = ['second', 'third'].map(
      (text) => `OtelPyroscopeWarning: otelpyroscope: ${text}`,
    );
    assert.deepEqual(emitted, expected);
  });

  it('throws nothing into the application', () => {
    const { emitWarning } = process;
    process.emitWarning = () => {
      throw new Error('no');
    };
    try {
      warn('lost');
    } finally {
      process.emitWarning = emitWarning;
    }
  });
});

describe('an operator without a logger', function () {
  this.timeout(60_000);

  it('hears once why no profile arrives', async () => {
    const server = await PyroscopeServer.start();
    server.respond = (req, res) => (res.writeHead(401).end('who are you?'), true);
    const code = `
      const { startPyroscope } = require('otelpyroscope');
      const agent = startPyroscope({ serverAddress: '${server.url}' });
      const work = () => {
        for (const end = process.cpuUsage().user + 100_000; process.cpuUsage().user < end;);
      };
      (async () => {
        for (let i = 0; i < 2; i++) { work(); await agent.flush(); }
        await agent.stop();
      })();`;
    const { code: exit, stderr } = await runCode(code);
    await server.close();
    assert.equal(exit, 0, stderr);
    assert.equal(stderr.match(/OtelPyroscopeWarning.*HTTP 401: who are you\?/g)?.length, 1, stderr);
  });

  it('hears what to do where no tracer provider is registered', async () => {
    const code = `
      const { register } = require('otelpyroscope');
      const { NodeSDK } = require('@opentelemetry/sdk-node');
      register();
      new NodeSDK({ autoDetectResources: false }).start();`;
    const none = { OTEL_METRICS_EXPORTER: 'none', OTEL_LOGS_EXPORTER: 'none' };
    const wrapped = `${code}
      const { trace } = require('@opentelemetry/api');
      const { BasicTracerProvider } = require('@opentelemetry/sdk-trace-base');
      const { TracerProvider } = require('otelpyroscope');
      trace.setGlobalTracerProvider(new TracerProvider(new BasicTracerProvider()));`;
    const [silent, own, warned] = await Promise.all(
      [
        [`${code}\nregister();`, 'console'],
        [wrapped, 'none'],
        [code, 'none'],
      ].map(([program, OTEL_TRACES_EXPORTER]) =>
        runCode(program, { env: { ...none, OTEL_TRACES_EXPORTER } }),
      ),
    );
    assert.deepEqual([silent.code, own.code, warned.code], [0, 0, 0], warned.stderr);
    assert.doesNotMatch(silent.stderr + own.stderr, /OtelPyroscope/);
    assert.match(warned.stderr, /without a tracer provider.*OTEL_TRACES_EXPORTER=console/);
  });
});
