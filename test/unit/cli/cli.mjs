/** Runs the command line as a shell would, for its tests. */
import path from 'node:path';
import { ROOT, runNode } from '../../support/run-child.mjs';

export const CLI = path.join(ROOT, 'lib', 'cli', 'main.js');

/**
 * @param {string[]} args
 * @param {Parameters<typeof runNode>[1]} [options]
 */
export function cli(args, options) {
  return runNode([CLI, ...args], options);
}
