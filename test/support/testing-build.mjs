/**
 * The tests' own build of the addon, which can make V8's offsets wrong (OTELPYROSCOPE_TESTING), in a
 * copy of the package of its own: the published binary has nothing that is for tests alone.
 */

import { cpSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import {
  binaryPath,
  buildDirectory,
  buildNative,
  describeNode,
  findHeaders,
  packageRoot,
} from '../../scripts/lib/native-build.mjs';
import { compile, nativeDirectory, nativeFiles } from '../native/toolchain.mjs';

/** Sources that are compiled otherwise than for the published binary; the rest are that one's objects. */
const OWN_SOURCES = ['addon/addon.cc', 'v8_heap/layout.cc'];

/**
 * Builds it for the Node that runs this, where something has changed.
 *
 * @returns {Promise<{ root: string, binary: string }>} The folder of the copy, to be given to
 *   `require`, and the addon in it.
 */
export async function testingBuild() {
  const node = describeNode();
  buildNative(node, { quiet: true });
  const root = path.join(packageRoot, '.cache', `testing-abi${node.abi}-${node.libc}`);
  const binary = binaryPath(node, root);
  const objects = path.join(buildDirectory(node), 'build/Release/obj.target/otelpyroscope/native');
  const addonApi = createRequire(import.meta.url).resolve('node-addon-api/napi.h');
  await compile(
    binary,
    OWN_SOURCES.map((name) => path.join(nativeDirectory, name)),
    [
      ...['-O2', '-fPIC', '-fno-exceptions', '-fno-rtti', '-fvisibility=hidden'],
      '-DOTELPYROSCOPE_TESTING',
      '-DNODE_GYP_MODULE_NAME=otelpyroscope',
      '-DNODE_ADDON_API_DISABLE_CPP_EXCEPTIONS',
      '-DNODE_ADDON_API_DISABLE_DEPRECATED',
      '-DNODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
      ...['-isystem', path.join(findHeaders(node), 'include', 'node')],
      ...['-isystem', path.dirname(addonApi)],
    ],
    [
      '-shared',
      ...nativeFiles('.cc')
        .filter((file) => !OWN_SOURCES.includes(file))
        .map((file) => path.join(objects, file.replace(/cc$/, 'o'))),
    ],
  );
  for (const part of ['package.json', 'lib']) {
    mkdirSync(root, { recursive: true });
    cpSync(path.join(packageRoot, part), path.join(root, part), { recursive: true });
  }
  return { root, binary };
}
