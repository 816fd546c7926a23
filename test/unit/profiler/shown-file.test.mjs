/** Checks which files of functions a profile has, by `stripFilenames` and `shortenPaths`. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { CpuProfiler } from 'otelpyroscope';
import { burnSampled } from '../../support/burn.cjs';
import { ROOT } from '../../support/run-child.mjs';
import { onStack, readProfile } from '../../support/read-profile.mjs';
import { shownFile } from '../../../lib/profiler/shown-file.js';

const FILES = [
  '/home/me/app/src/shop.js',
  '/home/me/app/node_modules/express/lib/router.js',
  '/home/me/app/node_modules/a/node_modules/@scope/b/index.js',
  '/home/me/application/other.js',
  'node:fs',
  '',
];
const HERE = fileURLToPath(import.meta.url);

function burnHere() {
  burnSampled(60);
}

/** Returns the file of this test's function in a profile. */
async function fileIn(options) {
  const profiler = new CpuProfiler({ intervalMicros: 1_000, ...options });
  profiler.start();
  burnHere();
  const { samples } = readProfile(await profiler.stop());
  const [sample] = samples.filter((one) => onStack(one, 'burnHere'));
  return sample.stack.find(({ name }) => name === 'burnHere').file;
}

describe('the files of functions', function () {
  it('are those below the working directory and below a package, by shortenPaths', () => {
    const fileOf = shownFile({ shortenPaths: true }, '/home/me/app');
    assert.deepEqual(FILES.map(fileOf), [
      ...['src/shop.js', 'express/lib/router.js', '@scope/b/index.js'],
      ...['/home/me/application/other.js', 'node:fs', ''],
    ]);
    // It was deleted.
    assert.equal(shownFile({ shortenPaths: true }, undefined)(FILES[0]), FILES[0]);
    assert.equal(shownFile({ shortenPaths: true }, '/')(FILES[0]), 'home/me/app/src/shop.js');
  });

  it('are left out of all functions, or of those of dependencies, by stripFilenames', () => {
    const dependencies = shownFile({ stripFilenames: 'dependencies' }, '/');
    assert.deepEqual(FILES.map(dependencies), [FILES[0], '', '', ...FILES.slice(3)]);
    const all = shownFile({ stripFilenames: 'all', shortenPaths: true }, '/');
    assert.ok(FILES.map(all).every((file) => file === ''));
  });

  it('are so in a profile', async () => {
    assert.equal(await fileIn({}), HERE);
    assert.equal(await fileIn({ shortenPaths: true }), path.relative(ROOT, HERE));
    assert.equal(await fileIn({ stripFilenames: 'all' }), '');
    for (const wrong of [{ stripFilenames: 'some' }, { shortenPaths: 'yes' }]) {
      assert.throws(() => new CpuProfiler(wrong), new RegExp(Object.keys(wrong)[0]));
    }
  });
});
