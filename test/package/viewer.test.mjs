/** Checks what the viewer adds to the package: one bundle, its licences, and not too much. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { packageRoot } from '../../scripts/lib/native-build.mjs';

/** That the package may grow by, packed. */
const MAX_BYTES = 300_000;
const lib = path.join(packageRoot, 'lib');

describe('the viewer in the package', function () {
  it('is a bundle that needs no package at run time', function () {
    const script = readFileSync(path.join(lib, 'viewer', 'viewer.js'), 'utf8');
    assert.doesNotMatch(script, /\bimport\s*[{*"'(]|\brequire\(|\beval\(|new Function\(/);
    const { bin, dependencies, devDependencies } = createRequire(import.meta.url)(
      '../../package.json',
    );
    for (const name of ['d3-flame-graph', 'd3-selection', 'esbuild', 'playwright-core']) {
      assert.ok(name in devDependencies && !(name in dependencies), name);
    }
    assert.ok(
      readFileSync(path.join(packageRoot, bin.otelpyroscope), 'utf8').startsWith(
        '#!/usr/bin/env node\n',
      ),
    );
  });

  it('has the licences of all bundled packages', function () {
    const licences = readFileSync(path.join(lib, 'viewer', 'LICENSES.txt'), 'utf8');
    for (const name of ['d3-flame-graph', 'd3-hierarchy', 'd3-scale', 'd3-selection']) {
      assert.match(
        licences,
        new RegExp(`^${name} \\d.*\\((ISC|Apache-2\\.0)\\)\\n\\n\\s*\\S`, 'm'),
      );
    }
  });

  it('is small', function () {
    const own = /^(viewer|cli|profile-|protobuf-|call-tree|live-)/;
    const sizes = readdirSync(lib, { recursive: true })
      .filter((file) => own.test(file) && statSync(path.join(lib, file)).isFile())
      .map((file) => gzipSync(readFileSync(path.join(lib, file))).length);
    const total = sizes.reduce((sum, size) => sum + size, 0);
    assert.ok(sizes.length > 20 && total < MAX_BYTES, `${total} bytes`);
  });
});
