/** Runs every code block of README.md and docs/, the blocks of a page in order and in one application. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import {
  CpuProfiler,
  pprofHandler,
  PyroscopeSpanProcessor,
  servePprof,
  startPyroscope,
} from 'otelpyroscope';
import { MAX_PACKED_BYTES, MAX_UNPACKED_BYTES } from '../../scripts/lib/pack.mjs';
import { MAX_BINARY_KIB, prebuilds } from '../../scripts/lib/prebuild.mjs';
import { needsProgram } from '../support/needs.mjs';
import { ROOT } from '../support/run-child.mjs';
import { Application, packPackage, PEERS } from '../support/tarball.mjs';
import { packagesOf, pageOf, pages } from './blocks.mjs';

const require = createRequire(import.meta.url);

const [readme] = pages;
const pageNamed = (file) => pages.find((page) => page.file === file).text;
/** Pages whose links are checked too. */
const others = ['CHANGELOG.md', 'CONTRIBUTING.md', 'SECURITY.md'].map(pageOf);

/** Returns the packages that the blocks of a page import, besides this one and its peers. */
function packagesFor({ blocks }) {
  const text = blocks
    .filter(({ kind }) => kind !== 'not run')
    .map(({ code, comment }) => code + comment)
    .join('\n');
  return [...new Set([...packagesOf(text), '@types/node'])].filter((name) => !PEERS.includes(name));
}

/** Links the command into node_modules/.bin, as npm does. */
function linkCommand({ directory, installed }) {
  const { bin } = JSON.parse(readFileSync(path.join(installed, 'package.json'), 'utf8'));
  const bins = path.join(directory, 'node_modules', '.bin');
  mkdirSync(bins, { recursive: true });
  for (const [name, file] of Object.entries(bin)) {
    chmodSync(path.join(installed, file), 0o755);
    symlinkSync(path.join(installed, file), path.join(bins, name));
  }
}

/** GitHub's anchors of the headings of a page. */
function anchorsOf(text) {
  const headings = [...text.replace(/^ *```[\s\S]*?^ *```$/gm, '').matchAll(/^#+ (.*)$/gm)];
  return headings.map(([, name]) =>
    name
      .toLowerCase()
      .replace(/[^\w\s-]/g, '')
      .replace(/\s/g, '-'),
  );
}

/** A figure, or what a command prints. */
const isText = ({ language }) => language === 'text';

/** An application in which the blocks of one page run, or are compiled; each language has a method. */
class Runner {
  constructor(tarball, page) {
    this.application = new Application({ tarball, link: packagesFor(page) });
    linkCommand(this.application);
  }

  run({ language, comment, code }) {
    this[language](`${comment}\n${code}`);
  }

  compile({ language, code }) {
    if (language === 'sh') return this.#shell(['-n', '-c', code]);
    if (language === 'ts') return this.#checkTypes(code);
    assert.equal(language, 'js');
    const file = this.#write(this.#extensionOf(code), code);
    return this.application.node(['--check', file]);
  }

  js(code) {
    this.application.node([this.#write(this.#extensionOf(code), code)]);
  }

  ts(code) {
    const { ModuleKind, ScriptTarget, transpileModule } = require('typescript');
    const compilerOptions = { module: ModuleKind.ESNext, target: ScriptTarget.ES2022 };
    this.#checkTypes(code);
    this.application.node([
      this.#write('mjs', transpileModule(code, { compilerOptions }).outputText),
    ]);
  }

  sh(code) {
    this.#shell(['-ec', code]);
  }

  json(code) {
    JSON.parse(code);
  }

  #extensionOf(code) {
    return /\brequire\(/.test(code) && !/^import /m.test(code) ? 'cjs' : 'mjs';
  }

  #write(extension, code) {
    const file = `block.${extension}`;
    writeFileSync(path.join(this.application.directory, file), code);
    return file;
  }

  #shell(args) {
    const { status, stdout, stderr } = spawnSync('sh', args, {
      cwd: this.application.directory,
      encoding: 'utf8',
      timeout: 50_000,
      env: { ...process.env, NODE_OPTIONS: '', npm_config_update_notifier: 'false' },
    });
    assert.equal(status, 0, stdout + stderr);
  }

  #checkTypes(code) {
    const ts = require('typescript');
    const file = path.join(this.application.directory, this.#write('mts', code));
    const program = ts.createProgram([file], {
      module: ts.ModuleKind.NodeNext,
      target: ts.ScriptTarget.ES2022,
      strict: true,
      noEmit: true,
      skipLibCheck: true,
      types: ['node'],
    });
    const found = ts.getPreEmitDiagnostics(program);
    assert.equal(
      found.length,
      0,
      found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n')).join('\n'),
    );
  }
}

describe('README.md', function () {
  it('is no longer than 180 lines', function () {
    assert.ok(readme.text.trimEnd().split('\n').length <= 180);
  });

  it('has its sections, in the order in which readers need them', function () {
    const sections = [...readme.text.matchAll(/^## (.*)$/gm)].map((match) => match[1]);
    assert.deepEqual(sections, [
      ...['Why', 'Quick start', 'How it compares', 'Install', 'Choose how to use it'],
      ...['Cost', 'Safety', 'Limits', 'FAQ', 'Documentation'],
    ]);
  });

  it('shows the first commands for a checkout', function () {
    for (const command of ['npm ci && npm run demo', 'npm ci && npm test']) {
      assert.ok(readme.text.split('\n').includes(command), command);
    }
  });

  it('has the figures of docs/benchmarks.md', function () {
    const sections = pageNamed('docs/benchmarks.md').split(/^## /m);
    const figuresOf = (bench) =>
      sections
        .filter((text) => new RegExp(`^\`[^\`]*[ /]${bench}\``, 'm').test(text))
        .flatMap((text) => text.match(/\d+(?:\.\d+)?/g))
        .map(Number);
    // Tables whose last column names the benches of a row.
    const rows = [...readme.text.matchAll(/^\| ([^|]*)\|(.*)\| (`[^|]*`) \|$/gm)];
    assert.ok(rows.length > 10);
    for (const [row, , cells, names] of rows) {
      const measured = [...names.matchAll(/`([^`]+)`/g)].flatMap(([, name]) => figuresOf(name));
      const shown = cells.replace(/Node\.js \d+/g, '').match(/\d+(?:\.\d+)?/g);
      for (const figure of shown) {
        const decimals = figure.split('.')[1]?.length ?? 0;
        assert.ok(
          measured.some((value) => value.toFixed(decimals) === figure),
          `${figure} in ${row}`,
        );
      }
    }
  });

  it('has the limits of size that a release is checked for', function () {
    const [packed, unpacked] = [MAX_PACKED_BYTES, MAX_UNPACKED_BYTES].map((bytes) => bytes >> 20);
    assert.ok(readme.text.includes(`at most ${packed} MiB, unpacked ${unpacked} MiB`));
    assert.ok(readme.text.includes(`each of its ${prebuilds.length} binaries`));
    assert.ok(readme.text.includes(`at most ${MAX_BINARY_KIB} KiB`));
  });

  it('lists every page of docs/', function () {
    const [, index] = readme.text.split('\n## Documentation\n');
    const missing = pages.filter(
      ({ file }) => file !== 'README.md' && !index.includes(`(${file})`),
    );
    assert.deepEqual(
      missing.map(({ file }) => file),
      [],
    );
  });
});

describe('the pages of docs/', function () {
  /** Returns the options that the error message of `use` lists. */
  async function acceptedBy(use) {
    try {
      await use({ nonsense: true });
    } catch (error) {
      return /accepted are (.*)$/.exec(error.message)[1].split(', ');
    }
    return assert.fail('an unknown option is accepted');
  }

  it('have every option', async function () {
    const uses = [
      [(options) => new CpuProfiler(options), 'docs/api.md'],
      [(options) => new PyroscopeSpanProcessor(options), 'docs/api.md'],
      [startPyroscope, 'docs/push.md'],
      [pprofHandler, 'docs/pull.md'],
      [servePprof, 'docs/pull.md'],
    ];
    for (const [use, file] of uses) {
      const text = pageNamed(file);
      const accepted = await acceptedBy(use);
      assert.deepEqual(
        accepted.filter((option) => !text.includes(`\`${option}\``)),
        [],
        file,
      );
    }
  });

  it('have every export, and every code of an error', function () {
    const text = pageNamed('docs/api.md');
    const index = readFileSync(path.join(ROOT, 'lib', 'index.mjs'), 'utf8');
    const names = [...index.matchAll(/export (?:const )?\{([^}]*)\}/g)].flatMap(([, list]) =>
      list
        .split(',')
        .map((name) => name.trim())
        .filter(Boolean),
    );
    assert.ok(names.length >= 10);
    for (const name of names) assert.ok(new RegExp(`\`[^\`\n]*\\b${name}\\b`).test(text), name);
    const codes = readFileSync(path.join(ROOT, 'lib', 'util', 'errors.d.ts'), 'utf8').match(
      /ERR_\w+/g,
    );
    for (const code of codes) assert.match(text, new RegExp(`^\\| \`${code}\``, 'm'));
  });

  it('have every count of the profiler and of the agent', function () {
    const countsOf = (file, name) => {
      const declared = readFileSync(path.join(ROOT, 'lib', file), 'utf8');
      const [, body] = new RegExp(`interface ${name} \\{([\\s\\S]*?)\\n\\}`).exec(declared);
      return [...body.matchAll(/^ {4}(\w+): /gm)].map((match) => match[1]);
    };
    for (const [file, name, page] of [
      ['profiler/cpu-profiler.d.ts', 'ProfilerMetrics', 'docs/api.md'],
      ['pyroscope/agent.d.ts', 'PyroscopeMetrics', 'docs/push.md'],
    ]) {
      const counts = countsOf(file, name);
      assert.ok(counts.length > 5);
      const text = pageNamed(page);
      assert.deepEqual(
        counts.filter((count) => !text.includes(`\`${count}\``)),
        [],
        page,
      );
    }
  });

  it('quote the messages of the package', function () {
    const quoted = [...pageNamed('docs/troubleshooting.md').matchAll(/^## `([^`]+)`/gm)];
    assert.ok(quoted.length >= 4);
    const said = readFileSync(path.join(ROOT, 'lib', 'addon', 'loader.js'), 'utf8');
    for (const [, message] of quoted) {
      for (const part of message.split('…')) assert.ok(said.includes(part.trim()), part);
    }
  });

  it('describe every option of the command', function () {
    const text = pageNamed('docs/cli.md');
    for (const name of ['run', 'attach', 'top', 'view']) {
      const main = path.join(ROOT, 'lib', 'cli', 'main.js');
      const { stdout } = spawnSync(process.execPath, [main, name, '--help'], { encoding: 'utf8' });
      const options = [...stdout.matchAll(/^ {2}(--[\w-]+)/gm)].map((match) => match[1]);
      assert.ok(options.length >= 2, name);
      for (const option of options) assert.ok(text.includes(`\`${option}`), `${name} ${option}`);
    }
  });
});

describe('links', function () {
  for (const page of [...pages, ...others]) {
    it(`of ${page.file} lead to files and sections that exist`, function () {
      const links = [...page.text.matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)/g)];
      for (const [link, target, anchor] of links) {
        const file = target === '' ? page.file : path.join(path.dirname(page.file), target);
        assert.ok(existsSync(path.join(ROOT, file)), link);
        if (anchor !== undefined) assert.ok(anchorsOf(pageOf(file).text).includes(anchor), link);
      }
    });
  }
});

describe('code blocks', function () {
  this.timeout(60_000);
  let directory;
  let tarball;

  before(function () {
    directory = mkdtempSync(path.join(os.tmpdir(), 'tarball-'));
    tarball = packPackage(directory).file;
  });

  after(function () {
    rmSync(directory, { recursive: true });
  });

  for (const page of pages.filter(({ text }) => /^ *```/m.test(text))) {
    describe(`of ${page.file}`, function () {
      let runner;

      before(function () {
        runner = new Runner(tarball, page);
      });

      after(function () {
        runner?.application.remove();
      });

      it('are all found, and have a reason if they do not run', function () {
        assert.equal(page.blocks.length * 2, page.text.match(/^ *```/gm).length);
        for (const { language, kind, comment, name } of page.blocks.filter((one) => !isText(one))) {
          if (kind === undefined || kind === 'given') {
            assert.ok(
              typeof runner[language] === 'function',
              `${name}: nothing runs this language`,
            );
          } else {
            assert.ok(comment.length > 10, `${name}: say why`);
          }
        }
      });

      for (const block of page.blocks) {
        if (block.kind === 'not run' || isText(block)) continue;
        it(`${block.kind === 'compiled' ? 'compiles' : 'runs'} ${block.name}`, function () {
          if (block.kind === 'compiled') runner.compile(block);
          else {
            for (const [, program] of block.code.matchAll(/^(go) /gm)) needsProgram(program, this);
            runner.run(block);
          }
        });
      }
    });
  }
});
