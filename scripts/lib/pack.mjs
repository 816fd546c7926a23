/** What npm reports about the package that it packs, and how large the package may be. */
import { execFileSync } from 'node:child_process';
import { packageRoot } from './native-build.mjs';

/** With all sixteen binaries; docs/benchmarks.md has what an installation takes. */
const MAX_PACKED_BYTES = 4 << 20;
const MAX_UNPACKED_BYTES = 12 << 20;

const mebibytes = (bytes) => `${(bytes / (1 << 20)).toFixed(2)} MiB`;

/** The sizes of a package as `npmPack` reports it, in one line. */
export function sizeOf({ size, unpackedSize, files }) {
  const binaries = files.filter((file) => file.path.endsWith('.node')).length;
  return (
    `${mebibytes(size)} packed, ${mebibytes(unpackedSize)} unpacked, ` +
    `${files.length} files, ${binaries} binaries`
  );
}

/** The limits that a package exceeds, as sentences; empty where it exceeds none. */
export function sizeProblems({ size, unpackedSize }) {
  const problems = [];
  if (size > MAX_PACKED_BYTES) problems.push(`over ${mebibytes(MAX_PACKED_BYTES)} packed`);
  if (unpackedSize > MAX_UNPACKED_BYTES) {
    problems.push(`over ${mebibytes(MAX_UNPACKED_BYTES)} unpacked`);
  }
  return problems;
}

/**
 * Packs the checkout as it is built, or another directory that has what is published.
 *
 * @param {string[]} options of `npm pack`
 * @returns {{ filename: string, size: number, unpackedSize: number, files: { path: string }[] }}
 */
export function npmPack(options, directory = packageRoot) {
  const args = ['pack', '--ignore-scripts', '--json', ...options];
  const output = execFileSync('npm', args, { cwd: directory, encoding: 'utf8' });
  // An array, and an object by name since npm 12.
  return Object.values(JSON.parse(output))[0];
}
