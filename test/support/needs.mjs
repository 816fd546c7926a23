/** Programs that tests need and a machine may not have: without them tests are reported as not run, and fail on CI. */
import { accessSync, constants, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const { noteNotRun } = createRequire(import.meta.url)('./not-run.cjs');

/** Returns the path of a program on the PATH; undefined if it is not there. */
export function findProgram(name) {
  return (process.env.PATH ?? '')
    .split(path.delimiter)
    .map((folder) => path.join(folder, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return statSync(file).isFile();
      } catch {
        return false;
      }
    });
}

/**
 * Skips the test, or all tests of a hook, if `isThere` is false; fails instead on CI.
 *
 * @param {boolean} isThere
 * @param {string} name of what is missing
 * @param {Mocha.Context} context Mocha's `this`
 */
export function needs(isThere, name, context) {
  if (isThere) return;
  if (process.env.CI) throw new Error(`${name} is not installed, and CI leaves no test out`);
  leaveOut(`${name} is not installed`, context);
}

function leaveOut(reason, context) {
  const { type, parent } = context.runnable();
  const title = (type === 'hook' ? parent : context.runnable()).fullTitle();
  noteNotRun(`${title}: because ${reason}`);
  context.skip();
}

/**
 * Skips the test where the kernel or a sandbox lacks something, on CI too, which cannot install it.
 *
 * @param {string | undefined} lacking what is missing, if anything
 * @param {Mocha.Context} context Mocha's `this`
 */
export function needsOfSystem(lacking, context) {
  if (lacking !== undefined) leaveOut(`it needs ${lacking}`, context);
}

/** The same for a program on the PATH. */
export function needsProgram(name, context) {
  needs(findProgram(name) !== undefined, name, context);
}
