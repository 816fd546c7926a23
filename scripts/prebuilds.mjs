/**
 * Builds the binaries of the package into prebuilds/: Linux x64 and arm64, glibc and musl, every
 * supported version of Node. Runs on Linux x64, and needs neither root nor a compiler.
 *
 *     node scripts/prebuilds.mjs [--arch x64] [--libc glibc] [--abi 137] [--verbose]
 */
import path from 'node:path';
import { statSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { binaryPath, messageOf, packageRoot, publishBinary } from './lib/native-build.mjs';
import { npmPack, sizeOf } from './lib/pack.mjs';
import { buildPrebuild, prebuilds } from './lib/prebuild.mjs';

function main() {
  const { values } = parseArgs({
    options: {
      arch: { type: 'string' },
      libc: { type: 'string' },
      abi: { type: 'string' },
      verbose: { type: 'boolean', default: false },
    },
  });
  const wanted = prebuilds.filter((prebuild) =>
    ['arch', 'libc', 'abi'].every((key) => [undefined, prebuild[key]].includes(values[key])),
  );
  if (wanted.length === 0) throw new Error('There is no such prebuild.');
  for (const prebuild of wanted) {
    const target = binaryPath(prebuild);
    const publish = (built) => publishBinary(built, target);
    buildPrebuild(prebuild, publish, { quiet: !values.verbose });
    const { size } = statSync(target);
    console.log(`${path.relative(packageRoot, target)}: ${Math.round(size / 1024)} KiB`);
  }
  console.log(`the package: ${sizeOf(npmPack(['--dry-run']))}`);
}

try {
  main();
} catch (error) {
  console.error(`otelpyroscope: ${messageOf(error)}`);
  process.exitCode = 1;
}
