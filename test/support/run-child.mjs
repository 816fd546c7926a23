/** Runs a script in a Node of its own: the version under test, with flags, to its end. */

import { spawn } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The checkout; code given to `runCode` finds the package there by its own name. */
export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..');

/** The command that starts Node: this one, or what `OTELPYROSCOPE_TEST_NODE` (a JSON array) says, such as an emulator. */
const [NODE, ...NODE_ARGUMENTS] = JSON.parse(
  process.env.OTELPYROSCOPE_TEST_NODE ?? JSON.stringify([process.execPath]),
);

/** Whether the Node under test runs on an emulator. */
export const EMULATED = process.env.OTELPYROSCOPE_TEST_NODE !== undefined;
/** How many times the time of this machine's own Node a test may take. */
export const PATIENCE = EMULATED ? 10 : 1;

/**
 * @typedef {object} Ended
 * @property {number | null} code Exit code; null when a signal ended the process.
 * @property {string | null} signal
 * @property {string} stderr
 * @property {string} stdout
 * @property {any[]} messages What the child sent with process.send().
 */

/**
 * Runs `node [flags] script [args]`. Rejects when it takes longer than `timeoutMs`, times `PATIENCE`.
 *
 * @param {string[]} command Flags, script and arguments.
 * @param {{ cwd?: string, timeoutMs?: number, env?: Record<string, string>, through?: string[], execPath?: string, onSpawn?: (child: import('node:child_process').ChildProcess) => void }} [options]
 *   through: a command that ends by running another one, such as `prlimit --nofile=20`.
 *   execPath: another executable than this process's. cwd: another directory than the checkout.
 * @returns {Promise<Ended>}
 */
export function runNode(
  command,
  { cwd = ROOT, timeoutMs = 60_000, env = {}, through = [], execPath, onSpawn } = {},
) {
  return new Promise((resolve, reject) => {
    const node = execPath === undefined ? [NODE, ...NODE_ARGUMENTS] : [execPath];
    const [file, ...args] = [...through, ...node, ...command];
    const child = spawn(file, args, {
      cwd,
      env: { ...process.env, NODE_OPTIONS: '', ...env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    /** @type {Ended} */
    const ended = { code: null, signal: null, stderr: '', stdout: '', messages: [] };
    const limitMs = timeoutMs * PATIENCE;
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`took longer than ${limitMs} ms: ${command.join(' ')}\n${ended.stderr}`));
    }, limitMs);
    child.stdout.on('data', (chunk) => (ended.stdout += chunk));
    child.stderr.on('data', (chunk) => (ended.stderr += chunk));
    child.on('message', (message) => ended.messages.push(message));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ ...ended, code, signal });
    });
    onSpawn?.(child);
  });
}

/**
 * Runs CommonJS source text, with `require('otelpyroscope')` and the dependencies at hand.
 *
 * @param {string} code
 * @param {{ flags?: string[] } & Parameters<typeof runNode>[1]} [options]
 */
export function runCode(code, { flags = [], ...options } = {}) {
  return runNode([...flags, '--input-type=commonjs', '-e', code], options);
}

/**
 * The one message of a script that is meant to end well; throws with its output otherwise.
 *
 * @param {Promise<Ended>} running
 */
export async function messageOf(running) {
  const ended = await running;
  if (ended.code === 0 && ended.messages.length === 1) return ended.messages[0];
  throw new Error(
    `exit code ${ended.code}, signal ${ended.signal}, ${ended.messages.length} messages\n` +
      `${ended.stdout}\n${ended.stderr}`,
  );
}
