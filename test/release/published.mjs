/** Builds what a release publishes, once for all tests of the run: the checked binaries, and the tarball. */
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import { binaryPath, publishBinary } from '../../scripts/lib/native-build.mjs';
import { buildPrebuild, prebuilds } from '../../scripts/lib/prebuild.mjs';
import { ROOT } from '../support/run-child.mjs';
import { packPackage } from '../support/tarball.mjs';

/** The package is put together here: prebuilds/ of the checkout has what this machine's compiler makes. */
const place = path.join(ROOT, '.cache', 'published');
/** Everything to publish, and more, such as sources and tests: package.json lists what is published. */
const PARTS = [
  ...['package.json', 'README.md', 'CHANGELOG.md', 'LICENSE', 'CMakeLists.txt'],
  ...['lib', 'native', 'scripts', 'src', 'test/support', 'docs'],
];

const built = new Set();
let packed;

/**
 * Builds the binary of a release for this machine or another, where it is not built yet.
 *
 * @param {{ arch: string, libc: string, abi: string }} target as of `describeNode` or of `prebuilds`
 * @returns {string} its path
 */
export function publishedBinary({ arch, libc, abi }) {
  const prebuild = prebuilds.find(
    (one) => one.arch === arch && one.libc === libc && one.abi === abi,
  );
  if (prebuild === undefined) throw new Error(`There is no binary for ${arch} ${libc} ABI ${abi}.`);
  const binary = binaryPath(prebuild, place);
  if (built.has(binary)) return binary;
  // From another run.
  if (built.size === 0) rmSync(place, { recursive: true, force: true });
  // Throws where a check fails.
  buildPrebuild(prebuild, (file) => publishBinary(file, binary));
  built.add(binary);
  return binary;
}

/**
 * The tarball with all binaries; those that are not built yet take a minute each. Or that which
 * OTELPYROSCOPE_TARBALL names, as far as a test needs only the file.
 */
export function publishedTarball() {
  if (packed !== undefined) return packed;
  const given = process.env.OTELPYROSCOPE_TARBALL;
  if (given) return { file: path.resolve(given) };
  for (const prebuild of prebuilds) publishedBinary(prebuild);
  for (const part of PARTS) {
    cpSync(path.join(ROOT, part), path.join(place, part), { recursive: true });
  }
  const directory = path.join(place, 'tarball');
  mkdirSync(directory);
  packed = packPackage(directory, place);
  return packed;
}
