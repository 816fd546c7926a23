/**
 * Prints the size of the package, and fails if it exceeds a limit (scripts/lib/pack.mjs).
 *
 *     node scripts/package-size.mjs [TARBALL]
 *
 * Without a tarball it packs the built checkout. Binaries of this machine's compiler are larger
 * than those of `npm run prebuilds`.
 */
import path from 'node:path';
import { npmPack, sizeOf, sizeProblems } from './lib/pack.mjs';

const [tarball] = process.argv.slice(2);
const packed = npmPack(['--dry-run', ...(tarball === undefined ? [] : [path.resolve(tarball)])]);
console.log(`${packed.filename}: ${sizeOf(packed)}`);
for (const problem of sizeProblems(packed)) {
  console.error(`otelpyroscope: the package is ${problem}.`);
  process.exitCode = 1;
}
