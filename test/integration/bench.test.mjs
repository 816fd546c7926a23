/** Checks that benches write their results, and leave those of others alone. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { runNode } from '../support/run-child.mjs';
import { atMost, show, showPercent, spread } from '../../bench/measure.mjs';
import { renderTable, Report } from '../../bench/report.mjs';

const BY_HAND = '## By hand\n\nWhat nobody else has written.';

describe('the page of benchmarks', () => {
  const idle = { title: 'Idle', about: 'nothing is done.' };

  it('shows targets beside the figures', () => {
    const table = {
      columns: ['', 'ms'],
      rows: [
        { cells: ['off', '1.0'] },
        { cells: ['on', '2.0'], target: atMost(2, 2, 'ms') },
        { cells: ['late', '2.1'], target: atMost(2.1, 2, 'ms') },
      ],
      notes: ['A note.'],
    };
    assert.equal(
      renderTable(table),
      '|  | ms | target |\n| --- | --- | --- |\n| off | 1.0 |  |\n| on | 2.0 | ≤ 2 ms: met |\n' +
        '| late | 2.1 | ≤ 2 ms: **missed** |\n\nA note.',
    );
    const report = new Report();
    report.set(idle, '24.1.0', renderTable(table));
    assert.deepEqual(report.targets, { met: 1, missed: 1 });
  });

  it('is changed only in one section and one version of Node.js', () => {
    const first = new Report(`# Old\n\n${BY_HAND}\n`);
    first.set(idle, '24.1.0', 'first');
    first.set(idle, '20.9.1', 'twenty');
    const second = new Report(first.render('Introduction.'));
    second.set({ ...idle, remark: 'Missed because.' }, '24.2.0', 'second');
    second.sort(['Idle']);
    assert.equal(
      second.render('Another one.'),
      '# Benchmarks\n\nAnother one.\n\n## Idle\n\nnothing is done.\n\nMissed because.\n\n' +
        `### Node.js 20.9.1\n\ntwenty\n\n### Node.js 24.2.0\n\nsecond\n\n${BY_HAND}\n`,
    );
  });

  it('shows medians with their middle halves', () => {
    assert.deepEqual(spread([5, 1, 2, 4, 3]), { low: 2, median: 3, high: 4 });
    assert.equal(show([3, 1, 2, 5, 4]), '3.0 (2.0 to 4.0)');
    assert.equal(show([2]), '2.0');
    assert.equal(showPercent([1.01, 0.9, 0.99, 1.02, 1.3]), '+1.0 % (−1.0 to +2.0)');
  });
});

describe('a bench', function () {
  this.timeout(60_000);
  this.slow(8_000);

  const directory = mkdtempSync(path.join(os.tmpdir(), 'bench-'));
  after(() => rmSync(directory, { recursive: true }));

  it('runs, and writes its section', async () => {
    const out = path.join(directory, 'benchmarks.md');
    writeFileSync(out, `# Benchmarks\n\n${BY_HAND}\n`);
    const run = fileURLToPath(new URL('../../bench/run.mjs', import.meta.url));
    const args = ['await-hop', '--rounds', '1', '--without-peers', '--out', out];
    const { code, stderr } = await runNode([run, ...args]);
    assert.equal(code, 0, stderr);
    const page = readFileSync(out, 'utf8');
    assert.ok(page.includes(`### Node.js ${process.versions.node}\n`), page);
    assert.match(page, /^## Await hop$/m);
    assert.match(page, /\| × \d+\.\d\d \| ≤ × 1\.\d\d: (met|\*\*missed\*\*) \|$/m);
    assert.ok(page.endsWith(`${BY_HAND}\n`), page);
  });

  it('is refused if it does not exist', async () => {
    const run = fileURLToPath(new URL('../../bench/run.mjs', import.meta.url));
    const { code, stderr } = await runNode([run, 'nothing', '--without-peers']);
    assert.equal(code, 1);
    assert.match(stderr, /unknown: nothing; there are idle, /);
  });
});
