/** A copy of the package whose addon is built with AddressSanitizer and UndefinedBehaviorSanitizer. */

import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { binaryPath, describeNode, findHeaders } from '../../scripts/lib/native-build.mjs';
import {
  buildDirectory,
  compile,
  nativeDirectory,
  nativeFiles,
  packageRoot,
} from '../native/toolchain.mjs';

/** Flags of the compiler and the linker. */
export const SANITIZERS = [
  '-fsanitize=address,undefined',
  '-fno-sanitize=vptr',
  '-fno-sanitize-recover=all',
];
/** Settings of the sanitizers, for the environment: an error ends the process with 66. */
export const SANITIZED = {
  ASAN_OPTIONS: 'detect_leaks=0:use_sigaltstack=0:handle_segv=0:exitcode=66',
  UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
};
/** Parts of the checkout that the copy has, besides the dependencies and the addon. */
const PARTS = [
  'package.json',
  'lib',
  'test/support',
  'test/robustness/programs',
  'test/integration/fixtures',
];

/** Builds the addon for the Node that runs this; returns its path. */
async function buildSanitized(node) {
  const flags = [
    '-O1',
    '-fPIC',
    '-fno-exceptions',
    '-DNODE_ADDON_API_DISABLE_CPP_EXCEPTIONS',
    '-DNODE_ADDON_API_DISABLE_DEPRECATED',
    '-DNODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
    '-DNODE_GYP_MODULE_NAME=otelpyroscope',
    '-DBUILDING_NODE_EXTENSION',
    ...SANITIZERS,
    '-Wno-error',
    '-Wno-cast-function-type',
    `-I${path.join(findHeaders(node), 'include', 'node')}`,
    `-I${path.dirname(createRequire(import.meta.url).resolve('node-addon-api/napi.h'))}`,
  ];
  const addon = path.join(buildDirectory, `sanitized-abi${node.abi}`, 'otelpyroscope.node');
  const sources = nativeFiles('.cc').map((file) => path.join(nativeDirectory, file));
  await compile(addon, sources, flags, ['-shared'], { compiler: 'g++', env: process.env });
  return addon;
}

/**
 * Makes the copy, which the caller removes.
 * @returns {Promise<{ directory: string, env: Record<string, string> }>} env: what a child needs
 *   that runs it.
 */
export async function makeSanitizedPackage() {
  const node = describeNode();
  const addon = await buildSanitized(node);
  const directory = mkdtempSync(path.join(os.tmpdir(), 'sanitized-'));
  for (const part of PARTS) {
    cpSync(path.join(packageRoot, part), path.join(directory, part), { recursive: true });
  }
  symlinkSync(path.join(packageRoot, 'node_modules'), path.join(directory, 'node_modules'));
  const binary = binaryPath(node, directory);
  mkdirSync(path.dirname(binary), { recursive: true });
  copyFileSync(addon, binary);
  const runtime = execFileSync('g++', ['-print-file-name=libasan.so'], { encoding: 'utf8' });
  return { directory, env: { ...SANITIZED, LD_PRELOAD: runtime.trim() } };
}
