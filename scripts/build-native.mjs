/**
 * Builds the addon with node-gyp for one Node ABI, into prebuilds/.
 *
 *     node scripts/build-native.mjs [--node <binary or prefix>] [--werror] [--debug] [--clean]
 *     node scripts/build-native.mjs --installed [--cache <file>]
 *
 * The second form is for `otelpyroscope build`.
 */
import path from 'node:path';
import { parseArgs } from 'node:util';
import {
  buildInstalled,
  buildNative,
  describeNode,
  messageOf,
  packageRoot,
} from './lib/native-build.mjs';

function main() {
  const { values } = parseArgs({
    options: {
      node: { type: 'string' },
      werror: { type: 'boolean' },
      debug: { type: 'boolean' },
      clean: { type: 'boolean' },
      installed: { type: 'boolean' },
      cache: { type: 'string' },
    },
  });
  if (values.installed) {
    const target = buildInstalled(values.cache);
    console.log(`otelpyroscope: built ${target} for Node ${process.versions.node}.`);
    return;
  }
  const node = describeNode(values.node);
  if (node.platform !== 'linux') {
    console.log(`otelpyroscope: there is no native part for ${node.platform}.`);
    return;
  }
  const target = buildNative(node, values);
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
