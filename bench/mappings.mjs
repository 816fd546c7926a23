/** Compiles the addon of mappings.cc, one for all versions of Node.js, as it uses Node-API. */

import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describeNode, findHeaders } from '../scripts/lib/native-build.mjs';
import { buildDirectory, compile } from '../test/native/toolchain.mjs';

/** The environment variable with the path of the addon, for the programs. */
export const MAPPINGS = 'BENCH_MAPPINGS';

/** Returns the path of the addon. */
export async function buildMappings() {
  const addon = path.join(buildDirectory, 'bench', 'mappings.node');
  const headers = path.join(findHeaders(describeNode()), 'include', 'node');
  const source = fileURLToPath(new URL('mappings.cc', import.meta.url));
  await compile(addon, [source], ['-O1', '-fPIC', '-isystem', headers], ['-shared']);
  return addon;
}
