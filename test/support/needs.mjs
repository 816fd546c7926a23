/** Reports tests as not run for want of what they need; on CI they fail, if it can be installed. */
import { accessSync, constants, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { describeNode } from '../../scripts/lib/native-build.mjs';

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
 * Skips the test where a system of its kind lacks something, on CI too, which cannot install it.
 *
 * @param {string | undefined} lacking what is missing, if anything
 * @param {Mocha.Context} context Mocha's `this`
 */
export function needsOfSystem(lacking, context) {
  if (lacking !== undefined) leaveOut(`it needs ${lacking}`, context);
}

/** The same for something that exists for glibc alone. */
export function needsGlibc(name, context) {
  const isThere = describeNode().libc === 'glibc';
  needsOfSystem(isThere ? undefined : `${name}, which is for glibc alone`, context);
}

/** Skips the test for want of a program on the PATH; fails instead on CI. */
export function needsProgram(name, context) {
  needs(findProgram(name) !== undefined, name, context);
}
