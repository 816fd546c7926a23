/** The public interface: the same names and the same state, by import and by require. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import * as imported from 'otelpyroscope';

const require = createRequire(import.meta.url);

describe('the package', () => {
  const required = require('otelpyroscope');

  it('exports the same by import and by require', () => {
    const names = [
      'CpuProfiler',
      'ProfilerError',
      'PyroscopeSpanProcessor',
      'Scope',
      'TracerProvider',
      'getLabels',
      'pprofHandler',
      'register',
      'servePprof',
      'startPyroscope',
      'withLabels',
    ];
    assert.deepEqual(Object.keys(imported).sort(), names);
    assert.deepEqual(Object.keys(required).sort(), names);
    for (const name of names) assert.equal(imported[name], required[name]);
  });

  it('can be loaded by the path of a checkout', () => {
    assert.equal(require(fileURLToPath(new URL('../..', import.meta.url))), required);
  });

  it('shares its labels with a second copy of itself', () => {
    const before = new Set(Object.keys(require.cache));
    const cached = Object.entries(require.cache).filter(([file]) => /[\\/]lib[\\/]/.test(file));
    for (const [file] of cached) delete require.cache[file];
    let second;
    try {
      second = require('otelpyroscope');
    } finally {
      for (const file of Object.keys(require.cache))
        if (!before.has(file)) delete require.cache[file];
      for (const [file, module] of cached) require.cache[file] = module;
    }
    assert.notEqual(second.withLabels, required.withLabels);
    second.withLabels({ a: '1' }, () => {
      assert.deepEqual(required.getLabels(), { a: '1' });
      required.withLabels({ b: '2' }, () => {
        assert.deepEqual(second.getLabels(), { a: '1', b: '2' });
      });
    });
  });
});
