/** Runs variants of a program in turns, and compares the CPU that they use. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** What a child printed last, as JSON, and the CPU of its whole process in milliseconds. */
export async function runVariant(command, env = {}) {
  const child = spawn(process.execPath, command, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.on('data', (chunk) => (text += chunk));
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}`);
  return JSON.parse(text.trim().split('\n').at(-1));
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The median and the quarters around it. */
export function spread(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
  return { low: at(0.25), median: median(values), high: at(0.75) };
}

/**
 * Runs all variants `rounds` times, in turns, each round in another order.
 * @template R
 * @param {Record<string, () => Promise<R>>} variants
 * @returns {Promise<Record<string, R[]>>}
 */
export async function inTurns(variants, rounds) {
  const names = Object.keys(variants);
  const results = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < names.length; i++) {
      const name = names[(i + round) % names.length];
      results[name].push(await variants[name]());
    }
  }
  return results;
}
