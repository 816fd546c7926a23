/** The ignored options of otel-profiling-go: accepted, without effect, and reported once. */
import assert from 'node:assert/strict';
import { diag } from '@opentelemetry/api';
import { TracerProvider } from 'otelpyroscope';

/** Every option that otel-profiling-go marks as ignored, in JavaScript's spelling and in Go's. */
const ignored = {
  appName: 'app',
  pyroscopeUrl: 'http://localhost:4040',
  pyroscopeURL: 'http://localhost:4040',
  profileUrl: true,
  profileURL: true,
  profileBaselineUrl: true,
  profileBaselineURL: true,
  profileBaselineLabels: { region: 'eu' },
  profileUrlBuilder: () => '',
  profileURLBuilder: () => '',
  defaultProfileUrlBuilder: ['a', 'b'],
  defaultProfileURLBuilder: null,
  rootSpanOnly: false,
  addSpanName: 42,
};

describe('deprecated options', () => {
  const tp = { getTracer: () => ({}) };
  let warnings;

  beforeEach(() => {
    warnings = [];
    const none = () => undefined;
    diag.setLogger({
      error: none,
      warn: (message) => warnings.push(message),
      info: none,
      debug: none,
      verbose: none,
    });
    // Names that this thread has reported already, in this test or another.
    globalThis[Symbol.for('otelpyroscope.deprecated.v1')].clear();
  });
  afterEach(() => diag.disable());

  it('are all accepted with any value, and reported in one warning', () => {
    new TracerProvider(tp, ignored);
    assert.equal(warnings.length, 1);
    for (const name of Object.keys(ignored)) assert.match(warnings[0], new RegExp(`\\b${name}\\b`));
  });

  it('are reported once each', () => {
    new TracerProvider(tp, { appName: 'a' });
    new TracerProvider(tp, { appName: 'b' });
    assert.equal(warnings.length, 1);
    new TracerProvider(tp, { appName: 'a', addSpanName: true });
    assert.equal(warnings.length, 2);
    assert.match(warnings[1], /addSpanName/);
    assert.doesNotMatch(warnings[1], /appName/);
  });

  it('are not reported if there are none, or if another option is wrong', () => {
    new TracerProvider(tp, {});
    assert.throws(() => new TracerProvider(tp, { appName: 'a', other: 1 }), TypeError);
    assert.deepEqual(warnings, []);
  });
});
