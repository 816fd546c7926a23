/** Compares self time by function: ours with `node --cpu-prof`, and both with the known work. */

import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { readProfile } from '../test/support/read-profile.mjs';
import { runAsProgram } from './as-program.mjs';
import { atMost, median, program, runVariant, show } from './measure.mjs';

const PROGRAM = program('computing.mjs');
/** A kernel tick, so that both have about as many samples. */
const INTERVAL_MICROS = 4_000;
const SUITE = 'programs/compute.mjs';
/** Percentage points by which ours may differ more from `--cpu-prof` than that from itself. */
const LIMIT = 5;
/** Prevents collections, which have no stack in either profile, so that the truth by kind is complete. */
const FLAGS = ['--min-semi-space-size=256', '--max-semi-space-size=256'];

/** @typedef {{ frames: { name: string, file: string, startLine: number }[], weight: number }} Stack */

/** Returns shares by the key that `keyOf` returns for a stack; it leaves out stacks without a key. */
function sharesBy(stacks, keyOf) {
  const shares = new Map();
  let total = 0;
  for (const { frames, weight } of stacks) {
    const key = keyOf(frames);
    if (key === undefined) continue;
    shares.set(key, (shares.get(key) ?? 0) + weight);
    total += weight;
  }
  return new Map([...shares].map(([key, weight]) => [key, weight / total]));
}

/** Returns the innermost function of the suite: builtins count as work of their callers. */
function functionOf(frames) {
  const frame = frames.find(({ file }) => file.endsWith(SUITE));
  return frame && `${frame.name}:${frame.startLine}`;
}

function points(a, b) {
  let sum = 0;
  for (const key of new Set([...a.keys(), ...b.keys()])) {
    sum += Math.abs((a.get(key) ?? 0) - (b.get(key) ?? 0));
  }
  return 50 * sum;
}

/** Returns the percentage points between the shares of the named work and the truth. */
function error({ stacks, truth }) {
  const all = Object.values(truth).reduce((sum, value) => sum + value, 0);
  const shares = new Map(Object.entries(truth).map(([name, value]) => [name, value / all]));
  const nameOf = (frames) => frames.find(({ name }) => shares.has(name))?.name;
  return points(sharesBy(stacks, nameOf), shares);
}

/** @returns {Promise<{ stacks: Stack[], truth: Record<string, number> }>} */
async function theirs(what, node) {
  const directory = mkdtempSync(path.join(os.tmpdir(), 'cpu-prof-'));
  try {
    const options = [`--cpu-prof-dir=${directory}`, `--cpu-prof-interval=${INTERVAL_MICROS}`];
    const command = [...FLAGS, '--cpu-prof', ...options, PROGRAM, what];
    const { truth } = await runVariant(command, { node: node.execPath });
    const [file] = readdirSync(directory);
    const { nodes } = JSON.parse(readFileSync(path.join(directory, file), 'utf8'));
    const byId = new Map(nodes.map((found) => [found.id, found]));
    for (const parent of nodes)
      for (const id of parent.children ?? []) byId.get(id).parent = parent;
    const stacks = nodes.map((leaf) => {
      const frames = [];
      for (let at = leaf; at !== undefined; at = at.parent) {
        const { functionName, url, lineNumber } = at.callFrame;
        frames.push({ name: functionName || '(anonymous)', file: url, startLine: lineNumber + 1 });
      }
      // Not the entries of `samples`: each deoptimization is one as well, without being a tick.
      return { frames, weight: leaf.hitCount };
    });
    return { stacks, truth };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** @returns {Promise<{ stacks: Stack[], truth: Record<string, number> }>} */
async function ours(what, node) {
  const command = [...FLAGS, PROGRAM, what, INTERVAL_MICROS];
  const { profile, truth } = await runVariant(command, { node: node.execPath });
  const { samples } = readProfile(Buffer.from(profile, 'base64'));
  return { stacks: samples.map(({ stack, nanos }) => ({ frames: stack, weight: nanos })), truth };
}

export const bench = {
  title: 'Beside --cpu-prof',
  about:
    'self time by function on the compute suite of the tests, each kind of work a fixed number of ' +
    'times: total variation distance (half the sum of the differences of all shares). Only where V8 ' +
    'itself distinguishes inlined functions: Node.js 26. Below, how far both are from the truth: the ' +
    'CPU of each kind of work as the process counts it, and two equal loops with as many rounds, of ' +
    'which one reads `process.cpuUsage()` every 14 µs and the other every 10 ms.',
  remark:
    "V8's profiler sends its signal from another thread: it arrives some 15 µs late, and a system " +
    'call that is made meanwhile receives it. Code that often calls into the kernel loses its ticks ' +
    'to these calls, as the last rows show. The suite is therefore counted by rounds and reads no ' +
    'clock. Its ticks are what is counted: V8 adds an entry to `samples` at each deoptimization as ' +
    'well, up to 150 of one function within 5 ms.',
  key: true,
  rounds: 3,
  unable: ({ major }) => (major < 26 ? 'its V8 does not distinguish inlined functions' : undefined),
  async run({ rounds, node }) {
    const among = [];
    const against = [];
    const errors = { suite: { theirs: [], ours: [] }, clock: { theirs: [], ours: [] } };
    for (let round = 0; round < rounds; round++) {
      const found = [];
      for (const take of [theirs, ours, theirs]) {
        const taken = await take('suite', node);
        errors.suite[take.name].push(error(taken));
        found.push(sharesBy(taken.stacks, functionOf));
      }
      const [first, own, second] = found;
      among.push(points(first, second));
      against.push((points(own, first) + points(own, second)) / 2);
      for (const take of [theirs, ours]) {
        errors.clock[take.name].push(error(await take('clock', node)));
      }
    }
    const limit = median(among) + LIMIT;
    const target = atMost(median(against), Number(limit.toFixed(1)));
    return {
      columns: ['', 'points'],
      rows: [
        { cells: ['two runs of `--cpu-prof`', show(among)] },
        { cells: ['otelpyroscope and `--cpu-prof`', show(against)], target },
        { cells: ['kinds of work and the truth: `--cpu-prof`', show(errors.suite.theirs)] },
        { cells: ['kinds of work and the truth: otelpyroscope', show(errors.suite.ours)] },
        { cells: ['two loops and the truth: `--cpu-prof`', show(errors.clock.theirs)] },
        { cells: ['two loops and the truth: otelpyroscope', show(errors.clock.ours)] },
      ],
    };
  },
};

void runAsProgram(import.meta.url);
