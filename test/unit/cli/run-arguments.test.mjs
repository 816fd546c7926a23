/** Checks what `otelpyroscope run` starts: the program that its arguments name, as Node.js or a shell would find it. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { environmentForRun } from '../../../lib/options/run-settings.js';
import { parseRun } from '../../../lib/cli/run-arguments.js';

const NODE = process.execPath;

describe('the arguments of otelpyroscope run', function () {
  const workingDirectory = process.cwd();
  let directory;

  function file(name, text, isExecutable = false) {
    mkdirSync(path.dirname(name), { recursive: true });
    writeFileSync(name, text);
    if (isExecutable) chmodSync(name, 0o755);
  }

  before(function () {
    directory = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'run arguments-')));
    process.chdir(directory);
    file('app.js', '');
    file('index.js', '');
    file('main.ts', '#!/usr/bin/env tsx\n');
    file('start.sh', '#!/bin/sh\nnode app.js\n', true);
    file('package/index.js', '');
    file('node_modules/tool/cli.mjs', '#!/usr/bin/env node\n', true);
    mkdirSync('node_modules/.bin');
    symlinkSync('../tool/cli.mjs', 'node_modules/.bin/tool');
    // As pnpm writes them.
    file('node_modules/.bin/other', '#!/bin/sh\nexec node "$basedir/cli.mjs" "$@"\n', true);
    file('node_modules/.bin/native', '\x7fELF', true);
    mkdirSync('profiles');
  });

  after(function () {
    process.chdir(workingDirectory);
    rmSync(directory, { recursive: true });
  });

  const commandOf = (...args) => {
    const { file: program, args: rest } = parseRun(args).program;
    return [program, ...rest];
  };
  const execArgv = process.execArgv;

  it('runs scripts, folders and TypeScript on this Node.js, with its options before them', function () {
    for (const [given, passed = given] of [
      [['app.js', '--out', 'x']],
      [['app', '-r', 'y']],
      [['.', 'x']],
      [['package']],
      [['main.ts']],
      [['-', 'x']],
      [['--import', 'tsx', 'main.ts']],
      [['-r', './app.js', '--import=tsx', 'app.js']],
      [['--env-file', '.env', '--env-file=.env2', '--inspect', '--no-warnings', 'app.js']],
      [['--max-old-space-size=100', '--max_semi_space_size=1', '--jitless', 'app.js']],
      [['-e', 'console.log(1)', 'a', '--clock']],
      [['--print', '1', 'a']],
      [['--test', '--test-name-pattern', 'x', 'app.js']],
      [
        ['--conditions', 'x', '--', 'app.js'],
        ['--conditions', 'x', 'app.js'],
      ],
      [
        ['--clock', 'precise', '--inspect', '--interval=5000', '-C', 'x', 'app.js'],
        ['--inspect', '-C', 'x', 'app.js'],
      ],
      [['--import', 'loader', 'virtual:app']],
      [
        ['tool', '-v'],
        [path.join(directory, 'node_modules/tool/cli.mjs'), '-v'],
      ],
    ]) {
      assert.deepEqual(commandOf(...given), [NODE, ...execArgv, ...passed]);
    }
  });

  it('starts other commands as a shell does: of node_modules/.bin, of PATH, scripts, node itself', function () {
    for (const [given, started = given] of [
      [['node', '--inspect', 'app.js']],
      [[NODE, 'app.js']],
      [['sh', '-c', 'true']],
      [
        ['./start.sh', '--out'],
        [path.join(directory, 'start.sh'), '--out'],
      ],
      [
        ['other', 'x'],
        [path.join(directory, 'node_modules/.bin/other'), 'x'],
      ],
      [['native'], [path.join(directory, 'node_modules/.bin/native')]],
    ]) {
      assert.deepEqual(commandOf(...given), started);
    }
  });

  it('names the profile after the script, in the folder that --out names', function () {
    const out = (...args) => path.relative(directory, parseRun(args).out);
    assert.equal(out('app.js'), 'app.cpu.pb.gz');
    assert.equal(out('node', '-r', 'x', './package/index.js', 'y.js'), 'index.cpu.pb.gz');
    assert.equal(out('.'), `${path.basename(directory)}.cpu.pb.gz`);
    assert.equal(out('-e', '1'), 'node.cpu.pb.gz');
    assert.equal(out('sh', '-c', 'x'), 'sh.cpu.pb.gz');
    for (const folder of ['profiles', 'profiles/']) {
      assert.equal(out('--out', folder, 'app.js'), 'profiles/app.cpu.pb.gz');
    }
    assert.equal(out('--out=profiles/x', 'app.js'), 'profiles/x');
  });

  it('says what is wrong, and what was meant', function () {
    for (const [args, message, exitCode] of [
      [
        ['--clok', 'app.js'],
        /^neither run nor Node\.js has an option --clok; did you mean "--clock"\?$/,
      ],
      [['--enable-source-map', 'app.js'], /did you mean "--enable-source-maps"/],
      [['--inspect', 'sh', '-c', 'true'], /^--inspect cannot be passed to sh, only to a script/],
      [['--interval'], /argument missing/],
      [['--out', 'nowhere/', 'app.js'], /cannot write .*there is no such folder/, 1],
      [['./app.sh'], /there is no program .*app\.sh/, 1],
      [['nothing'], /no such file, no command .* in node_modules\/\.bin or in PATH/, 127],
    ]) {
      assert.throws(
        () => parseRun(args),
        (error) => {
          assert.match(error.message, message);
          assert.equal(error.exitCode, exitCode);
          return true;
        },
      );
    }
  });

  it("appends the preload to the user's NODE_OPTIONS, as Node.js reads them", function () {
    const { NODE_OPTIONS } = process.env;
    try {
      for (const [user, preload, expected] of [
        [undefined, '/lib/preload.js', '--require /lib/preload.js'],
        ['--no-warnings', '/lib/preload.js', '--no-warnings --require /lib/preload.js'],
        ['', '/a b/"c\\d".js', '--require "/a b/\\"c\\\\d\\".js"'],
      ]) {
        delete process.env.NODE_OPTIONS;
        if (user !== undefined) process.env.NODE_OPTIONS = user;
        assert.equal(environmentForRun({}, preload, {}).NODE_OPTIONS, expected);
      }
    } finally {
      delete process.env.NODE_OPTIONS;
      if (NODE_OPTIONS !== undefined) process.env.NODE_OPTIONS = NODE_OPTIONS;
    }
  });
});
