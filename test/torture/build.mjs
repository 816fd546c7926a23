/** The libraries of the torture tests, compiled once: the hostile system, and the hostile addon. */

import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeNode, findHeaders } from '../../scripts/native-build.mjs';
import { buildDirectory, compile } from '../native/toolchain.mjs';

const source = (name) => fileURLToPath(new URL(name, import.meta.url));

/** A library for LD_PRELOAD; see preload.cc for what it can do. */
export async function buildPreload() {
  const library = path.join(buildDirectory, 'torture', 'preload.so');
  await compile(library, [source('preload.cc')], ['-O1', '-fPIC'], ['-shared']);
  return library;
}

/** The path of the addon of addon.cc, for the Node that runs this. */
export async function buildAddon() {
  const node = describeNode();
  const addon = path.join(buildDirectory, `torture-abi${node.abi}`, 'torture.node');
  const headers = path.join(findHeaders(node), 'include', 'node');
  await compile(addon, [source('addon.cc')], ['-O1', '-fPIC', `-I${headers}`], ['-shared']);
  return addon;
}
