/**
 * Builds the addon with cmake-js for one Node ABI, into prebuilds/, without downloading headers.
 *
 *     node scripts/build-cmake.mjs [--node <binary or prefix>] [--werror] [--out <binary>]
 */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';
import { parseArgs } from 'node:util';
import {
  binaryPath,
  describeNode,
  findHeaders,
  messageOf,
  packageRoot,
  publishBinary,
  wantsWerror,
} from './lib/native-build.mjs';

function runCmakeJs(args, headers) {
  const require = createRequire(import.meta.url);
  const result = spawnSync(process.execPath, [require.resolve('cmake-js/bin/cmake-js'), ...args], {
    cwd: packageRoot,
    // cmake-js reads headers from this directory; without it, it downloads them.
    env: { ...process.env, npm_config_nodedir: headers },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (result.error) throw result.error;
  if (result.status !== 0) throw new Error(`cmake-js ${args[0]} failed.`);
}

function main() {
  const { values } = parseArgs({
    options: {
      node: { type: 'string' },
      werror: { type: 'boolean' },
      out: { type: 'string' },
    },
  });
  const node = describeNode(values.node);
  if (node.platform !== 'linux') {
    console.log(`otelpyroscope: there is no native part for ${node.platform}.`);
    return;
  }
  const headers = findHeaders(node);
  const directory = path.join(packageRoot, 'build-cmake', `abi${node.abi}-${node.libc}`);
  const options = [
    `--directory=${packageRoot}`,
    `--out=${directory}`,
    `--runtime-version=${node.version}`,
    '--log-level=warn',
  ];
  const werror = wantsWerror(values.werror) ? 'ON' : 'OFF';
  runCmakeJs(['configure', ...options, `--CDOTELPYROSCOPE_WERROR=${werror}`], headers);
  runCmakeJs(['build', ...options, '--parallel=2'], headers);
  const target = path.resolve(values.out ?? binaryPath(node));
  publishBinary(path.join(directory, 'Release', 'otelpyroscope.node'), target);
  console.log(
    `otelpyroscope: built ${path.relative(packageRoot, target)} for Node ${node.version}.`,
  );
}

try {
  main();
} catch (error) {
  console.error(`otelpyroscope: ${messageOf(error)}`);
  process.exitCode = 1;
}
