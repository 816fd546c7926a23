/** The libraries of the torture tests, compiled once: the hostile system, and the hostile addons. */

import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeNode, findHeaders } from '../../scripts/lib/native-build.mjs';
import { buildDirectory, compile } from '../native/toolchain.mjs';

const source = (name) => fileURLToPath(new URL(name, import.meta.url));

/** A library for LD_PRELOAD; see preload.cc for what it can do. */
export async function buildPreload() {
  const library = path.join(buildDirectory, 'torture', 'preload.so');
  await compile(library, [source('preload.cc')], ['-O1', '-fPIC'], ['-shared']);
  return library;
}

/**
 * The path of an addon for the Node that runs this.
 * @param {string} [name] Its source in this folder, without `.cc`.
 */
export async function buildAddon(name = 'addon') {
  const node = describeNode();
  const addon = path.join(buildDirectory, `torture-abi${node.abi}`, `${name}.node`);
  const headers = path.join(findHeaders(node), 'include', 'node');
  // -isystem: V8's own headers have warnings.
  const flags = ['-O1', '-fPIC', '-isystem', headers];
  await compile(addon, [source(`${name}.cc`)], flags, ['-shared']);
  return addon;
}
