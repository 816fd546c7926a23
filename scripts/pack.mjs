/** What npm says of the package that it packs. */
import { execFileSync } from 'node:child_process';
import { packageRoot } from './native-build.mjs';

/**
 * Packs the checkout as it is built.
 *
 * @param {...string} options of `npm pack`
 * @returns {{ filename: string, size: number, unpackedSize: number, files: { path: string }[] }}
 */
export function npmPack(...options) {
  const args = ['pack', '--ignore-scripts', '--json', ...options];
  const output = execFileSync('npm', args, { cwd: packageRoot, encoding: 'utf8' });
  // An array, and an object by name since npm 12.
  return Object.values(JSON.parse(output))[0];
}
