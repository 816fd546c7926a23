/** What npm says of the package that it packs. */
import { execFileSync } from 'node:child_process';
import { packageRoot } from './native-build.mjs';

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
