/** Checks that the reference of `npm run docs` comes out of the docstrings without a warning, and whole. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import * as api from 'otelpyroscope';
import { ROOT } from '../support/run-child.mjs';

describe('the API reference', function () {
  this.timeout(600_000);

  it('has a page of every export, and no warning', function () {
    const out = mkdtempSync(path.join(os.tmpdir(), 'reference-'));
    try {
      const typedoc = path.join(ROOT, 'node_modules', 'typedoc', 'bin', 'typedoc');
      const { status, stdout, stderr } = spawnSync(process.execPath, [typedoc, '--out', out], {
        cwd: ROOT,
        encoding: 'utf8',
      });
      assert.equal(status, 0, stdout + stderr);
      assert.doesNotMatch(stdout + stderr, /warning/i);
      const pages = readdirSync(out, { recursive: true }).filter((file) => file.endsWith('.md'));
      const missing = Object.keys(api).filter(
        (name) => !pages.some((page) => path.basename(page) === `${name}.md`),
      );
      assert.deepEqual(missing, []);
      for (const page of pages) {
        const text = readFileSync(path.join(out, page), 'utf8');
        assert.ok(
          text.split('\n').some((line) => /^[A-Za-z].*\.$/.test(line)) || page === 'README.md',
          page,
        );
      }
    } finally {
      rmSync(out, { recursive: true });
    }
  });
});
