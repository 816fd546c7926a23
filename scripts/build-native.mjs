/**
 * Builds the addon with node-gyp for one Node ABI, into prebuilds/.
 *
 *     node scripts/build-native.mjs [--node <binary or prefix>] [--werror] [--debug] [--clean]
 */
import path from 'node:path';
import { parseArgs } from 'node:util';
import { buildNative, describeNode, messageOf, packageRoot } from './lib/native-build.mjs';

function main() {
  const { values } = parseArgs({
    options: {
      node: { type: 'string' },
      werror: { type: 'boolean' },
      debug: { type: 'boolean' },
      clean: { type: 'boolean' },
    },
  });
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
