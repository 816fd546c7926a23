/** Options: defaults, accepted values, and error messages. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { CpuProfiler, Scope } from 'otelpyroscope';

const require = createRequire(import.meta.url);
const {
  resolveCpuProfilerOptions,
  resolveLabelOptions,
} = require('../../../lib/options/options.js');

describe('LabelOptions', () => {
  it('have defaults', () => {
    const defaults = {
      spanIdScope: Scope.RootSpan,
      spanNameScope: Scope.RootSpan,
      traceIdLabel: true,
      attributeLabels: [],
      cpuTimeAttribute: true,
    };
    assert.deepEqual(resolveLabelOptions(), defaults);
    assert.deepEqual(resolveLabelOptions({}), defaults);
    assert.deepEqual(resolveLabelOptions({ spanIdScope: undefined }), defaults);
  });

  it('are used as given', () => {
    const options = {
      spanIdScope: Scope.None,
      spanNameScope: Scope.AllSpans,
      traceIdLabel: false,
      attributeLabels: ['http.route', 'tenant.id'],
      cpuTimeAttribute: false,
    };
    assert.deepEqual(resolveLabelOptions(options), options);
    assert.deepEqual([Scope.None, Scope.RootSpan, Scope.AllSpans], [0, 1, 2]);
  });

  it('are refused by name if unknown or wrong', () => {
    const cases = [
      [
        { spanIdScope: 3 },
        /spanIdScope must be .*None \(0\).*RootSpan \(1\).*AllSpans \(2\), got 3/,
      ],
      [{ spanIdScope: 'RootSpan' }, /spanIdScope must be .*got "RootSpan"/],
      [{ spanNameScope: null }, /spanNameScope must be .*got null/],
      [{ spanNameScope: true }, /spanNameScope must be .*got true/],
      [{ traceIdLabel: 1 }, /traceIdLabel must be true or false, got 1/],
      [{ cpuTimeAttribute: 0 }, /cpuTimeAttribute must be true or false, got 0/],
      [{ attributeLabels: 'http.route' }, /attributeLabels must be an array .*got "http.route"/],
      [{ attributeLabels: ['http-route'] }, /attributeLabels must be .*got "http-route"/],
      [{ attributeLabels: ['span_name'] }, /attributeLabels must be .*got "span_name"/],
      [{ attributeLabels: [7] }, /attributeLabels must be .*got 7/],
      [
        { spanIDScope: 1 },
        /unknown option "spanIDScope".*spanIdScope, spanNameScope, traceIdLabel/,
      ],
      [{ spanIDScope: 1 }, /; did you mean "spanIdScope"\?/],
      [{ intervalMicros: 1000 }, /unknown option "intervalMicros"; accepted/],
      [{ getTracer() {} }, /must not be a tracer provider: register\(\) finds the global one/],
      [null, /options must be an object, got null/],
      ['all', /options must be an object/],
      [[], /options must be an object, got an array/],
    ];
    for (const [options, message] of cases) {
      assert.throws(() => resolveLabelOptions(options), { name: 'TypeError', message });
    }
  });
});

describe('CpuProfilerOptions', () => {
  it('have defaults', () => {
    assert.deepEqual(resolveCpuProfilerOptions(), {
      intervalMicros: 10_000,
      clock: 'auto',
      maxFrames: 128,
      lineNumbers: true,
      sourceMaps: false,
      stripFilenames: undefined,
      shortenPaths: false,
    });
  });

  it('are used as given, to the ends of their ranges', () => {
    for (const options of [
      { intervalMicros: 1_000, clock: 'tick', maxFrames: 1, lineNumbers: false, sourceMaps: true },
      {
        intervalMicros: 1_000_000,
        clock: 'precise',
        maxFrames: 1_024,
        lineNumbers: true,
        sourceMaps: false,
      },
    ].map((one) => ({ ...one, stripFilenames: 'all', shortenPaths: true }))) {
      assert.deepEqual(resolveCpuProfilerOptions(options), options);
    }
  });

  it('throw a RangeError that names the range if a number is out of it', () => {
    for (const intervalMicros of [999, 1_000_001, 0, -1, 1_000.5, NaN, Infinity]) {
      assert.throws(() => resolveCpuProfilerOptions({ intervalMicros }), {
        name: 'RangeError',
        message: /intervalMicros .*1000 to 1000000/,
      });
    }
    for (const maxFrames of [0, 1_025, 1.5]) {
      assert.throws(() => resolveCpuProfilerOptions({ maxFrames }), {
        name: 'RangeError',
        message: /maxFrames .*1 to 1024/,
      });
    }
  });

  it('throw a TypeError if unknown or of a wrong type', () => {
    const cases = [
      [{ intervalMicros: '1000' }, /intervalMicros .*got "1000"/],
      [{ maxFrames: null }, /maxFrames .*got null/],
      [{ clock: 'fine' }, /clock must be one of auto, perf, precise, tick, got "fine"/],
      [{ lineNumbers: 'yes' }, /lineNumbers must be true or false/],
      [{ sourceMaps: 0 }, /sourceMaps must be true or false/],
      [{ interval: 1 }, /unknown option "interval".*intervalMicros, clock, maxFrames/],
      [{ appName: 'x' }, /unknown option "appName"/],
    ];
    for (const [options, message] of cases) {
      assert.throws(() => resolveCpuProfilerOptions(options), { name: 'TypeError', message });
      assert.throws(() => new CpuProfiler(options), { name: 'TypeError', message });
    }
  });

  it('map sources by default if Node.js does', () => {
    const script = `process.stdout.write(String(require(${JSON.stringify(
      fileURLToPath(new URL('../../../lib/options/options.js', import.meta.url)),
    )}).resolveCpuProfilerOptions().sourceMaps))`;
    const run = (args, options) =>
      execFileSync(process.execPath, [...args, '-e', script], {
        env: { ...process.env, NODE_OPTIONS: options },
        encoding: 'utf8',
      });
    assert.equal(run(['--enable-source-maps'], ''), 'true');
    assert.equal(run([], '--enable-source-maps'), 'true');
    assert.equal(run([], ''), 'false');
  });
});
