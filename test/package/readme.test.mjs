/** Runs every code block of the README, in order, in one application; a block that cannot run says why. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { CpuProfiler, pprofHandler, PyroscopeSpanProcessor, startPyroscope } from 'otelpyroscope';
import { ROOT } from '../support/run-child.mjs';
import { Application, packPackage, PEERS } from '../support/tarball.mjs';
import { blocks, packagesOf, readme } from './blocks.mjs';

const require = createRequire(import.meta.url);

const text = blocks
  .filter(({ kind }) => kind !== 'not run')
  .map(({ code, comment }) => code + comment)
  .join('\n');
/** What the README's programs import besides the package and its peers. */
const packages = packagesOf(text).filter((name) => !PEERS.includes(name));

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

  it('has its sections, in the order in which readers need them', function () {
    const sections = [...readme.matchAll(/^## (.*)$/gm)].map((match) => match[1]);
    const expected = [
      ...['Try it', 'Install', 'A first profile', 'Look at it', 'How it works', 'API', 'Cost'],
      ...['Safety', 'Limits, and when not to use it', 'Troubleshooting', 'More'],
    ];
    assert.deepEqual(
      sections.filter((name) => expected.includes(name)),
      expected,
    );
  });

  it('has every option, and every code of an error', function () {
    const refuse = {
      CpuProfiler: (options) => new CpuProfiler(options),
      PyroscopeSpanProcessor: (options) => new PyroscopeSpanProcessor(options),
      startPyroscope,
      pprofHandler,
    };
    for (const [name, use] of Object.entries(refuse)) {
      let message = '';
      try {
        use({ nonsense: true });
      } catch (error) {
        message = error.message;
      }
      const accepted = /accepted are (.*)$/.exec(message)[1].split(', ');
      assert.deepEqual(
        accepted.filter((option) => !new RegExp(`\`${option}\``).test(readme)),
        [],
        name,
      );
    }
    const codes = readFileSync(path.join(ROOT, 'lib', 'util', 'errors.d.ts'), 'utf8').match(
      /ERR_\w+/g,
    );
    for (const code of codes) assert.match(readme, new RegExp(`^\\| \`${code}\``, 'm'));
  });

  it('quotes messages as the package says them', function () {
    const [, section] = readme.split('## Troubleshooting\n');
    const quoted = [...section.matchAll(/^- \*\*`([^`]+)`\*\*/gm)].map((match) => match[1]);
    assert.ok(quoted.length >= 4);
    const said = readFileSync(path.join(ROOT, 'lib', 'addon', 'loader.js'), 'utf8');
    for (const message of quoted) {
      for (const part of message.split('…')) assert.ok(said.includes(part.trim()), part);
    }
  });

  it('links to files and sections that there are', function () {
    const headings = [...readme.matchAll(/^#+ (.*)$/gm)].map(([, name]) =>
      name
        .toLowerCase()
        .replace(/[^\w\s-]/g, '')
        .replace(/\s/g, '-'),
    );
    const links = [...readme.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)/g)];
    assert.ok(links.length > 5);
    for (const [link, file, heading] of links) {
      if (file !== '') assert.ok(existsSync(path.join(ROOT, file)), link);
      else assert.ok(headings.includes(heading), link);
    }
  });

  for (const block of blocks.filter(({ kind }) => kind !== 'not run')) {
    it(`runs block ${block.name}`, function () {
      runners[block.language](block);
    });
  }
});
