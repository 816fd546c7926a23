/** Packs the package, and checks its size. */
import { execFileSync } from 'node:child_process';
import { packageRoot } from './native-build.mjs';

/** With all sixteen binaries; docs/benchmarks.md has the size of an installation. */
export const MAX_PACKED_BYTES = 5 << 20;
export const MAX_UNPACKED_BYTES = 12 << 20;

const mebibytes = (bytes) => `${(bytes / (1 << 20)).toFixed(2)} MiB`;

/** Returns the sizes that `npmPack` reports, in one line. */
export function sizeOf({ size, unpackedSize, files }) {
  const binaries = files.filter((file) => file.path.endsWith('.node')).length;
  return (
    `${mebibytes(size)} packed, ${mebibytes(unpackedSize)} unpacked, ` +
    `${files.length} files, ${binaries} binaries`
  );
}

/** Returns a sentence for each limit that a package exceeds. */
export function sizeProblems({ size, unpackedSize }) {
  const problems = [];
  if (size > MAX_PACKED_BYTES) problems.push(`over ${mebibytes(MAX_PACKED_BYTES)} packed`);
  if (unpackedSize > MAX_UNPACKED_BYTES) {
    problems.push(`over ${mebibytes(MAX_UNPACKED_BYTES)} unpacked`);
  }
  return problems;
}

/**
 * Packs the built checkout, or another directory with the published files.
 *
 * @param {string[]} options of `npm pack`
 * @returns {{ filename: string, size: number, unpackedSize: number, files: { path: string }[] }}
 */
export function npmPack(options, directory = packageRoot) {
  const args = ['pack', '--ignore-scripts', '--json', ...options];
  const output = execFileSync('npm', args, { cwd: directory, encoding: 'utf8' });
  // npm prints an array; since npm 12, an object by name.
  return Object.values(JSON.parse(output))[0];
}
