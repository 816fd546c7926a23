/** Checks both ways of building the addon, and that neither takes the headers of another Node. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import {
  binaryPath,
  buildNative,
  describeNode,
  findHeaders,
  headersAbi,
  packageRoot,
} from '../../scripts/lib/native-build.mjs';
import { needsProgram } from '../support/needs.mjs';

const node = describeNode();

describe('headers to build against', function () {
  let directory;
  let nodedir;

  beforeEach(function () {
    directory = mkdtempSync(path.join(os.tmpdir(), 'headers-'));
    nodedir = process.env.npm_config_nodedir;
  });

  afterEach(function () {
    rmSync(directory, { recursive: true });
    if (nodedir === undefined) delete process.env.npm_config_nodedir;
    else process.env.npm_config_nodedir = nodedir;
  });

  /** A prefix with headers that tell this ABI. */
  function prefixOf(abi) {
    const prefix = path.join(directory, `abi${abi}`);
    mkdirSync(path.join(prefix, 'include', 'node'), { recursive: true });
    writeFileSync(
      path.join(prefix, 'include', 'node', 'node_version.h'),
      `#if defined(NODE_EMBEDDER_MODULE_VERSION)\n` +
        `#define NODE_MODULE_VERSION NODE_EMBEDDER_MODULE_VERSION\n` +
        `#else\n#define NODE_MODULE_VERSION ${abi}\n#endif\n`,
    );
    return prefix;
  }

  it('are recognized by their ABI', function () {
    assert.equal(headersAbi(prefixOf('137')), '137');
    assert.equal(headersAbi(directory), undefined);
  });

  it('are those of the Node itself if it has some', function () {
    process.env.npm_config_nodedir = prefixOf('137');
    assert.equal(findHeaders({ ...node, abi: '147', prefix: prefixOf('147') }), prefixOf('147'));
  });

  it('are those of npm if the Node has none', function () {
    process.env.npm_config_nodedir = prefixOf('147');
    assert.equal(findHeaders({ ...node, abi: '147', prefix: directory }), prefixOf('147'));
  });

  it('are never those of another ABI, and the error names all candidates', function () {
    process.env.npm_config_nodedir = prefixOf('115');
    const other = { ...node, version: '0.0.0', abi: '147', prefix: prefixOf('137') };
    assert.throws(
      () => findHeaders(other),
      (error) => {
        assert.match(error.message, /^No headers for Node 0\.0\.0 \(ABI 147\)\. Looked at:/);
        assert.match(error.message, /abi137.*own prefix.*: headers of ABI 137/);
        assert.match(error.message, /abi115.*npm_config_nodedir.*: headers of ABI 115/);
        return true;
      },
    );
  });
});

describe('the built addon', function () {
  this.timeout(180_000);

  function exportsOf(binary) {
    const script = `
      const addon = require(${JSON.stringify(binary)});
      const sampler = addon.open('', () => undefined);
      console.log(JSON.stringify({ abi: addon.abi, names: Object.keys(sampler).sort() }));`;
    return JSON.parse(execFileSync(process.execPath, ['-e', script], { encoding: 'utf8' }));
  }

  it('is the same from node-gyp and from cmake-js', function () {
    needsProgram('cmake', this);
    const fromGyp = buildNative(node, { quiet: true });
    assert.equal(fromGyp, binaryPath(node));
    const fromCmake = path.join(packageRoot, '.cache', 'test-package', `cmake.abi${node.abi}.node`);
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [path.join(packageRoot, 'scripts', 'build-cmake.mjs'), `--out=${fromCmake}`],
      { encoding: 'utf8' },
    );
    assert.equal(status, 0, stdout + stderr);
    const exported = exportsOf(fromGyp);
    assert.equal(String(exported.abi), node.abi);
    assert.ok(exported.names.includes('openWindow'));
    assert.deepEqual(exportsOf(fromCmake), exported);
  });

  it('has its compiler commands in compile_commands.json, for editors', function () {
    needsProgram('cmake', this);
    const directory = path.join(packageRoot, 'build-cmake', `abi${node.abi}-${node.libc}`);
    const commands = readFileSync(path.join(directory, 'compile_commands.json'), 'utf8');
    const files = JSON.parse(commands).map(({ file }) => path.relative(packageRoot, file));
    assert.ok(files.includes('native/sampler/sampler.cc'), files.join('\n'));
  });

  it('stays loaded and binds its symbols when it is loaded, from both build systems', function () {
    needsProgram('cmake', this);
    for (const binary of [
      binaryPath(node),
      path.join(packageRoot, '.cache', 'test-package', `cmake.abi${node.abi}.node`),
    ]) {
      const dynamic = execFileSync('readelf', ['-dW', binary], { encoding: 'utf8' });
      assert.match(dynamic, /FLAGS_1.*\bNOW\b.*\bNODELETE\b/, binary);
    }
  });

  it('exports only the symbols that Node looks up', function () {
    const symbols = execFileSync('nm', ['-D', '--defined-only', binaryPath(node)], {
      encoding: 'utf8',
    });
    const ours = symbols
      .split('\n')
      .map((line) => line.split(' ').pop())
      .filter((name) => /otelpyroscope/.test(name));
    assert.deepEqual(ours, []);
    assert.match(symbols, /napi_register_module_v1/);
  });
});

describe('package.json', function () {
  it('publishes every script that `otelpyroscope build` needs', function () {
    const { files } = createRequire(import.meta.url)('../../package.json');
    const needed = new Set(['scripts/build-native.mjs']);
    for (const file of needed) {
      const text = readFileSync(path.join(packageRoot, file), 'utf8');
      for (const [, name] of text.matchAll(/from '\.\/([\w/-]+\.mjs)'/g))
        needed.add(path.posix.join(path.posix.dirname(file), name));
    }
    assert.ok(needed.size > 1);
    for (const file of needed) assert.ok(files.includes(file), file);
  });
});
