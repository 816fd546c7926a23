/** Code that was compiled in memory has its original lines; evaluated code has a file. */

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import webpack from 'webpack';
import { messageOf, runNode } from '../support/run-child.mjs';

const fixture = fileURLToPath(new URL('fixtures/source-maps/in-memory.cjs', import.meta.url));
const transformFixture = fileURLToPath(new URL('fixtures/source-maps/burn.mjs', import.meta.url));

/** CPU of each function in the fixture. */
const BURN_NANOS = 60e6;
const HOT_LINE = 21;
/** The compilers leave out so much before the hot line that no compiled line is near it. */
const source = (name) => `// A comment.
interface Options {
  rounds: number;
  // More of it.
  name?: string;
}

type Unused = {
  a: 1;
  b: 2;
};

interface Another {
  x: number;
}

export function ${name}(rounds: number): number {
  let x: number = 1;

  for (let i = 0; i < rounds; i++) {
    x = (x * 31 + i) % 1000003;
  }

  return x;
}
`;
const MODULE = `function sameName(rounds) {
  let x = 1;
  for (let i = 0; i < rounds; i++) x = (x * 31 + i) % 1000003;
  return x;
}
module.exports = (rounds) => sameName(rounds);
`;

describe('code without a file of its own', function () {
  this.timeout(60_000);
  this.slow(20_000);

  let directory;
  const at = (name) => path.join(directory, name);

  before(async () => {
    directory = realpathSync(mkdtempSync(path.join(tmpdir(), 'in-memory-')));
    mkdirSync(at('src'));
    for (const name of ['line', 'lines', 'broken']) {
      writeFileSync(at(`${name}.ts`), source(`burn_${name}`));
    }
    writeFileSync(at('transform.ts'), `enum Mode { A }\n${source('run')}`);
    writeFileSync(at('src/first.js'), MODULE);
    writeFileSync(at('src/second.js'), MODULE);
    writeFileSync(
      at('src/index.js'),
      'exports.first = require("./first.js"); exports.second = require("./second.js");',
    );
    await promisify(webpack)({
      mode: 'development',
      devtool: 'eval',
      target: 'node',
      context: directory,
      entry: './src/index.js',
      output: { path: directory, filename: 'bundle.js', library: { type: 'commonjs2' } },
    });
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  const run = (flags, ...args) => messageOf(runNode([...flags, fixture, directory, ...args]));
  const nanosOf = (leaves) => leaves.reduce((sum, { nanos }) => sum + nanos, 0);

  function assertNear(leaves, file, line) {
    assert.ok(leaves.length > 0, 'the function is not in the profile');
    const near = leaves.filter((leaf) => leaf.file === file && Math.abs(leaf.line - line) <= 1);
    // The rest: V8 compiles the function at its return, which is another line.
    assert.ok(nanosOf(near) >= 0.95 * nanosOf(leaves), JSON.stringify(leaves));
  }

  function assertOriginalLines({ leaves, skippedSourceMaps }) {
    const named = (name) => leaves.filter((leaf) => leaf.name === name);
    for (const name of ['line', 'lines']) {
      assertNear(named(`burn_${name}`), at(`${name}.ts`), HOT_LINE);
    }
    // A line of the compiled text would be a wrong one.
    const broken = named('burn_broken');
    assert.ok(nanosOf(broken) > 0);
    for (const { file, line, startLine } of broken) {
      assert.deepEqual([file, line, startLine], [at('broken.ts'), 0, 0]);
    }
    assert.equal(skippedSourceMaps, 1);
  }

  it('has its original lines under --enable-source-maps, and evaluated code has a file', async () => {
    const profile = await run(['--enable-source-maps']);
    assertOriginalLines(profile);
    const nanosByFile = new Map();
    for (const { name, file, nanos } of profile.leaves) {
      if (name === 'sameName') nanosByFile.set(file, (nanosByFile.get(file) ?? 0) + nanos);
    }
    const files = [...nanosByFile.keys()];
    for (const file of [at('a.ejs'), at('b.ejs')]) assert.ok(files.includes(file), files.join());
    for (const name of ['first.js', 'second.js']) {
      const found = files.filter((file) => /^webpack:\/\//.test(file) && file.includes(name));
      assert.equal(found.length, 1, files.join('\n'));
    }
    const evaluated = files.filter((file) => /^eval:[\da-f]{8}$/.test(file));
    assert.equal(evaluated.length, 4, files.join('\n'));
    assert.equal(files.length, 8, files.join('\n'));
    for (const [file, nanos] of nanosByFile) {
      assert.ok(nanos > BURN_NANOS / 10, `${file}: ${nanos}`);
    }
  });

  it('has its original lines in a worker, by the option', async () => {
    assertOriginalLines(await run([], 'true', 'worker'));
  });

  it('has its original lines where Node.js compiles it', async function () {
    const flag = '--experimental-transform-types';
    if (!process.allowedNodeEnvironmentFlags.has(flag)) this.skip(); // Node 20 and 26 cannot
    const file = at('transform.ts');
    const { stacks } = await messageOf(
      runNode([flag, '--no-warnings', transformFixture, file, 'true'], { timeoutMs: 60_000 }),
    );
    const leaves = stacks
      .map(({ stack, nanos }) => ({ ...stack[0], nanos }))
      .filter(({ name }) => name === 'run');
    assertNear(leaves, file, HOT_LINE + 1);
  });
});
