/**
 * Runs the package's self-check on the first, the last and some versions between of each line of
 * Node.js. Prints the table of docs/how-it-works.md, which says what each of them gives.
 */
import assert from 'node:assert/strict';
import { copyFileSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describeNode } from '../../scripts/lib/native-build.mjs';
import { installNode } from '../../scripts/lib/nodes.mjs';
import { nodes } from '../../scripts/lib/prebuild.mjs';
import { ROOT } from '../support/run-child.mjs';
import { Application } from '../support/tarball.mjs';
import { publishedTarball } from './published.mjs';

/** Beside the last one of each line, which scripts/lib/prebuild.mjs has. */
const OLD_VERSIONS = [
  ...['20.6.0', '20.9.0', '20.11.1', '20.15.1', '20.18.3'],
  ...['22.0.0', '22.4.1', '22.8.0', '22.9.0', '22.12.0', '22.20.0'],
  ...['24.0.0', '24.4.1', '24.11.0', '24.15.0', '24.19.0', '24.20.0'],
  ...['26.0.0', '26.6.0'],
];
const RIGHT = 'all right';
const UNTOLD = 'all right; V8 does not tell what Maglev has inlined';

/** Returns the versions that the table in the documentation gives this answer, as "24.0 to 24.19". */
function documented(answer) {
  const text = readFileSync(path.join(ROOT, 'docs', 'how-it-works.md'), 'utf8');
  const row = text.split('\n').find((line) => line.startsWith('| ') && line.includes(answer));
  return [...row.matchAll(/(\d+)\.(\d+) to (\d+)\.(\d+)/g)].map((match) =>
    match.slice(1).map(Number),
  );
}

/** Whether the version is in one of the ranges. */
function isIn(version, ranges) {
  const [major, minor] = version.split('.').map(Number);
  return ranges.some(
    ([first, from, last, to]) => first === major && last === major && minor >= from && minor <= to,
  );
}

describe('the self-check on older versions of Node.js', function () {
  this.timeout(1_800_000);
  const table = [];
  const untold = documented('not told');
  let application;

  before(function () {
    application = new Application({ tarball: publishedTarball().file });
    for (const file of ['release/fixtures/self-check.mjs', 'support/read-profile.cjs']) {
      copyFileSync(
        path.join(ROOT, 'test', file),
        path.join(application.directory, path.basename(file)),
      );
    }
  });

  after(function () {
    application.remove();
    console.log(table.map((line) => `        ${line}`).join('\n'));
  });

  function selfCheck(version, flags = [], args = []) {
    const { execPath } = describeNode(installNode(version));
    const { stdout, stderr } = application.node([...flags, 'self-check.mjs', ...args], {
      execPath,
    });
    table.push(`${[version, ...flags].join(' ')}: ${stdout.trim()}`);
    return { answer: stdout.trim(), stderr };
  }

  for (const version of [...OLD_VERSIONS, ...nodes.map((node) => node.version)]) {
    it(`on ${version} finds what the documentation says`, function () {
      const { answer, stderr } = selfCheck(version);
      assert.equal(answer, isIn(version, untold) ? UNTOLD : RIGHT);
      // Nothing is silent.
      assert.equal(/does not tell which inlined function runs/.test(stderr), answer === UNTOLD);
    });
  }

  for (const version of ['22.8.0', '24.11.0']) {
    it(`on ${version} names inlined functions with --no-maglev-inlining`, function () {
      const { answer } = selfCheck(version, ['--no-maglev-inlining'], ['no-lines']);
      assert.equal(answer, RIGHT);
    });
  }
});
