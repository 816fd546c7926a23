/** Checks that every list of the supported versions of Node says the same: those of scripts/lib/prebuild.mjs. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { packageRoot } from '../../scripts/lib/native-build.mjs';
import { nodes } from '../../scripts/lib/prebuild.mjs';

const read = (file) => readFileSync(path.join(packageRoot, file), 'utf8');
const majors = nodes.map(({ version }) => version.split('.')[0]);
const [oldest, ...others] = majors;

/** All lists of numbers in a text that a pattern finds: its first group. */
function listsIn(text, pattern) {
  const lists = [...text.matchAll(pattern)].map(([, list]) => list.match(/\b\d\d\b/g));
  assert.ok(lists.length > 0, `no ${pattern}`);
  return lists;
}

describe('the supported versions of Node', function () {
  it('are those of package.json', function () {
    const { engines, scripts } = JSON.parse(read('package.json'));
    assert.match(engines.node, new RegExp(`^>=${oldest}\\.`));
    // `npm test` runs on the oldest, the Node at hand.
    assert.deepEqual(listsIn(scripts['test:nodes'], /test-node\.mjs (.*)/g), [others]);
  });

  it('are those of the workflows', function () {
    for (const file of readdirSync(path.join(packageRoot, '.github', 'workflows'))) {
      for (const list of listsIn(read(`.github/workflows/${file}`), /^\s+node: \[(.*)\]$/gm)) {
        assert.deepEqual(list, majors, file);
      }
    }
  });

  it('are those of the documents', function () {
    const documents = {
      'README.md': /Node\.js (\d\d(?:, \d\d)+(?: (?:and|or) \d\d)?)\b/g,
      'SECURITY.md': /^\| (\d\d\.\d+ and later(?:, \d\d)+) \|/gm,
      'ARCHITECTURE.md': /^\|(?: \|)? (Node \d\d \(ABI .*) \|$/gm,
      'docs/scope.md': /Node\.js (\d\d(?:, \d\d)+(?: (?:and|or) \d\d)?)\b/g,
      'CHANGELOG.md': /for Node\.js (\d\d(?:, \d\d)* and \d\d) on Linux/g,
    };
    for (const [file, pattern] of Object.entries(documents)) {
      for (const list of listsIn(read(file), pattern)) assert.deepEqual(list, majors, file);
    }
    const abis = nodes.map(({ abi }) => abi);
    assert.deepEqual(
      [
        ...read('ARCHITECTURE.md')
          .match(/^\|.*\(ABI \d+\).*$/m)[0]
          .matchAll(/\((?:ABI )?(\d+)\)/g),
      ].map(([, abi]) => abi),
      abis,
    );
  });

  it('have a guide that names every entry of the table, and every file with a list', function () {
    const guide = read('docs/adding-a-node-version.md');
    const layout = /struct Layout \{([\s\S]*?)\n\};/.exec(read('native/v8_heap/layout.h'))[1];
    const entries = [...layout.matchAll(/^ {2}size_t (\w+);/gm)].map(([, name]) => name);
    assert.ok(entries.length > 20);
    const places = [
      'scripts/lib/prebuild.mjs',
      '`test:nodes`',
      '.github/workflows',
      'README.md',
      'SECURITY.md',
      'ARCHITECTURE.md',
      'CHANGELOG.md',
    ];
    const missing = [...entries.map((name) => `\`${name}\``), ...places].filter(
      (name) => !guide.includes(name),
    );
    assert.deepEqual(missing, []);
  });
});
