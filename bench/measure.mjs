/** Runs variants of a program alternately, and compares their CPU. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** The profilers that ours is compared with; `inspector` is `Profiler` of node:inspector. */
export const PEERS = ['datadog', 'pyroscope', 'inspector'];

/** Names of the variants in the tables. */
export const NAMES = {
  off: 'no profiler',
  again: 'no profiler, again',
  labels: 'otelpyroscope, no profile',
  ours: 'otelpyroscope',
  datadog: '@datadog/pprof',
  pyroscope: '@pyroscope/nodejs',
  inspector: 'node:inspector',
};

/** Returns the path of a program of the benches. */
export function program(name) {
  return fileURLToPath(new URL(`programs/${name}`, import.meta.url));
}

/** Far longer than any program takes, in milliseconds. */
const PROGRAM_LIMIT = 300_000;

/** Resolves to the next message of a forked child. Rejects if it ends without one. */
export async function messageFrom(child) {
  const aborter = new AbortController();
  const { signal } = aborter;
  try {
    const ended = once(child, 'exit', { signal }).then(([code, by]) => {
      throw new Error(`a child ended with ${code ?? by}`);
    });
    const [message] = await Promise.race([once(child, 'message', { signal }), ended]);
    return message;
  } finally {
    aborter.abort();
  }
}

/**
 * Runs a child, and resolves to its last line of output, parsed as JSON.
 * @param {string[]} command Flags, script and arguments.
 * @param {{ node?: string, env?: Record<string, string> }} [options] `node`: the executable.
 */
export async function runVariant(command, { node = process.execPath, env = {} } = {}) {
  const child = spawn(node, command.map(String), {
    env: { ...process.env, NODE_OPTIONS: '', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: PROGRAM_LIMIT,
    killSignal: 'SIGKILL',
  });
  let text = '';
  child.stdout.on('data', (chunk) => (text += chunk));
  const [code, signal] = await once(child, 'close');
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code ?? signal}`);
  return JSON.parse(text.trim().split('\n').at(-1));
}

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Returns the median and the quartiles. */
export function spread(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
  return { low: at(0.25), median: median(values), high: at(0.75) };
}

/** Returns ratios of variants to another one of the same round, by round. */
export function paired(values, baseline) {
  return values.map((value, round) => value / baseline[round]);
}

/** Formats a median with its middle half for tables. */
export function show(values, digits = 1) {
  const { low, median: middle, high } = spread(values);
  const text = (value) => value.toFixed(digits);
  if (values.length < 2) return text(middle);
  return `${text(middle)} (${text(low)} to ${text(high)})`;
}

/** Formats ratios as percents above or below 1. */
export function showPercent(ratios, digits = 1) {
  const { low, median: middle, high } = spread(ratios);
  const text = (ratio) => `${ratio >= 1 ? '+' : '−'}${Math.abs(100 * (ratio - 1)).toFixed(digits)}`;
  if (ratios.length < 2) return `${text(middle)} %`;
  return `${text(middle)} % (${text(low)} to ${text(high)})`;
}

/** Returns the target of a table's row that `value` be at most `limit`. */
export function atMost(value, limit, unit = '') {
  return { text: `≤ ${limit}${unit === '' ? '' : ` ${unit}`}`, met: value <= limit };
}

/** Returns the target that the median of ratios be at most `limit` percent above 1. */
export function atMostPercent(ratios, limit) {
  return { text: `≤ +${limit} %`, met: 100 * (median(ratios) - 1) <= limit };
}

/**
 * Runs all variants `rounds` times alternately, each round in another order.
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

/** Calls `inTurns` for one program that takes the variant as its first argument. */
export function programInTurns(modes, rounds, { node, file, args = [], flags = [], env = {} }) {
  const one = (mode) => () => runVariant([...flags, program(file), mode, ...args], { node, env });
  return inTurns(Object.fromEntries(modes.map((mode) => [mode, one(mode)])), rounds);
}
