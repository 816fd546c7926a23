/** Runs the command line as a shell would, for its tests. */
import { spawn } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { ROOT, runNode } from '../../support/run-child.mjs';

export const CLI = path.join(ROOT, 'lib', 'cli', 'main.js');

/**
 * CPU that each process of the fixtures uses in `burn`, other threads' at that time included
 * (compilers, collector), and the share of it that samples must contain. What a process uses besides
 * comes on top.
 */
export const BURNT_NANOS = 150e6;
export const LEAST_SHARE = 0.4;

export const fixture = (name) => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url));

/**
 * @param {string[]} args
 * @param {Parameters<typeof runNode>[1]} [options]
 */
export function cli(args, options) {
  return runNode([CLI, ...args], options);
}

/**
 * Runs `otelpyroscope run` to its end. `until`: once stdout or stderr has this, `act` is called with
 * the process and the match. Detached, so that no terminal's signals reach the program beside those
 * that are passed on.
 *
 * @param {string[]} args
 */
export function run(
  args,
  { input = '', until, act, cwd = ROOT, flags = [], nodeOptions = '', env = {} } = {},
) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...flags, CLI, 'run', ...args], {
      cwd,
      detached: true,
      env: { ...process.env, NODE_OPTIONS: nodeOptions, ...env },
    });
    const ended = { stdout: '', stderr: '' };
    let acted = until === undefined;
    const look = async () => {
      const match = until?.exec(ended.stdout + ended.stderr);
      if (acted || !match) return;
      acted = true;
      await Promise.resolve(act(child, match)).catch(reject);
    };
    child.stdout.on('data', (chunk) => ((ended.stdout += chunk), look()));
    child.stderr.on('data', (chunk) => ((ended.stderr += chunk), look()));
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ ...ended, code, signal }));
    child.stdin.end(input);
  });
}
