/** Leaves out what a machine cannot test, but never on CI: there a missing tool is a failure. */

/**
 * @param {boolean} isThere
 * @param {string} tool Debian's name of what is missing.
 * @param {{ skip: () => never }} context Mocha's `this`.
 */
export function skipWithout(isThere, tool, context) {
  if (isThere) return;
  if (process.env.CI === 'true') throw new Error(`${tool} is not there; .ci/run installs it`);
  context.skip();
}
