/** Runs every code block of the README, in order, in one application; a block that cannot run says why. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { ROOT } from '../support/run-child.mjs';
import { Application, packPackage, PEERS } from '../support/tarball.mjs';

const require = createRequire(import.meta.url);

/**
 * A comment before a block speaks to this test and is not shown to readers:
 *
 *     <!-- not run: why -->
 *     <!-- given: code that comes first, for what the block takes for granted -->
 */
const BLOCK = /(?:<!--\s*(not run|given):\s*([\s\S]*?)-->\s*)?^```(\w*)\n([\s\S]*?)^```$/gm;

const readme = readFileSync(path.join(ROOT, 'README.md'), 'utf8');
const blocks = [...readme.matchAll(BLOCK)].map(([whole, kind, comment, language, code], index) => ({
  name: `${index + 1} (${language}): ${code.trim().split('\n')[0]}`,
  line: readme.slice(0, readme.indexOf(whole)).split('\n').length,
  kind,
  comment: comment?.trim() ?? '',
  language,
  code,
}));

const text = blocks
  .filter(({ kind }) => kind !== 'not run')
  .map(({ code, comment }) => code + comment)
  .join('\n');
/** What the README's programs import besides the package and its peers. */
const packages = [...text.matchAll(/(?:from |require\()'(@[\w-]+\/[\w-]+|[\w-]+)['/]/g)]
  .map((match) => match[1])
  .filter((name, index, all) => all.indexOf(name) === index)
  .filter((name) => !['otelpyroscope', 'node', ...PEERS].includes(name));

describe('README.md', function () {
  this.timeout(60_000);
  let directory;
  let application;

  before(function () {
    directory = mkdtempSync(path.join(os.tmpdir(), 'tarball-'));
    application = new Application({ tarball: packPackage(directory).file, link: packages });
  });

  after(function () {
    application?.remove();
    rmSync(directory, { recursive: true });
  });

  function runProgram(extension, code) {
    const file = `block.${extension}`;
    writeFileSync(path.join(application.directory, file), code);
    application.node([file]);
  }

  const runners = {
    js({ comment, code }) {
      const isCommonJs = /\brequire\(/.test(code) && !/^import /m.test(code);
      runProgram(isCommonJs ? 'cjs' : 'mjs', `${comment}\n${code}`);
    },
    ts({ comment, code }) {
      const { ModuleKind, ScriptTarget, transpileModule } = require('typescript');
      const compilerOptions = { module: ModuleKind.ESNext, target: ScriptTarget.ES2022 };
      runProgram('mjs', transpileModule(`${comment}\n${code}`, { compilerOptions }).outputText);
    },
    sh({ comment, code }) {
      const { status, stdout, stderr } = spawnSync('sh', ['-ec', `${comment}\n${code}`], {
        cwd: application.directory,
        encoding: 'utf8',
        timeout: 50_000,
        env: { ...process.env, NODE_OPTIONS: '' },
      });
      assert.equal(status, 0, stdout + stderr);
    },
    // A figure.
    text() {},
    json({ code }) {
      JSON.parse(code);
    },
  };

  it('has no block that this test would miss', function () {
    assert.equal(blocks.length * 2, readme.match(/^\s*```/gm).length);
    for (const { language, kind, comment, name } of blocks) {
      if (kind === 'not run') assert.ok(comment.length > 10, `${name}: say why`);
      else assert.ok(language in runners, `${name}: nothing runs this language`);
    }
  });

  for (const block of blocks.filter(({ kind }) => kind !== 'not run')) {
    it(`runs block ${block.name}`, function () {
      runners[block.language](block);
    });
  }
});
