/** Self time by function: ours beside `node --cpu-prof`. */

import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { readProfile } from '../support/read-profile.mjs';
import { runAsProgram } from './as-program.mjs';
import { program, runVariant, show } from './measure.mjs';

const PROGRAM = program('computing.mjs');
/** A kernel tick: both have about as many samples. */
const INTERVAL_MICROS = 4_000;
const SUITE = 'programs/compute.mjs';

/** Adds to the innermost function of the suite: builtins are its callers' work. */
function sharesOf(stacks) {
  const shares = new Map();
  let total = 0;
  for (const { frames, weight } of stacks) {
    const frame = frames.find(({ file }) => file.endsWith(SUITE));
    if (frame === undefined) continue;
    const key = `${frame.name}:${frame.startLine}`;
    shares.set(key, (shares.get(key) ?? 0) + weight);
    total += weight;
  }
  return new Map([...shares].map(([key, weight]) => [key, weight / total]));
}

function distance(a, b) {
  let sum = 0;
  for (const key of new Set([...a.keys(), ...b.keys()])) {
    sum += Math.abs((a.get(key) ?? 0) - (b.get(key) ?? 0));
  }
  return sum / 2;
}

async function theirs(directory, node) {
  const command = [
    '--cpu-prof',
    `--cpu-prof-dir=${directory}`,
    `--cpu-prof-interval=${INTERVAL_MICROS}`,
    PROGRAM,
  ];
  await runVariant(command, { node: node.execPath });
  const [file] = readdirSync(directory);
  const { nodes, samples } = JSON.parse(readFileSync(path.join(directory, file), 'utf8'));
  rmSync(path.join(directory, file));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  for (const node of nodes) for (const id of node.children ?? []) byId.get(id).parent = node;
  return sharesOf(
    samples.map((id) => {
      const frames = [];
      for (let node = byId.get(id); node !== undefined; node = node.parent) {
        const { functionName, url, lineNumber } = node.callFrame;
        frames.push({ name: functionName || '(anonymous)', file: url, startLine: lineNumber + 1 });
      }
      return { frames, weight: 1 };
    }),
  );
}

async function ours(node) {
  const { profile } = await runVariant([PROGRAM, INTERVAL_MICROS], { node: node.execPath });
  const { samples } = readProfile(Buffer.from(profile, 'base64'));
  return sharesOf(samples.map(({ stack, nanos }) => ({ frames: stack, weight: nanos })));
}

export const bench = {
  title: 'Beside --cpu-prof',
  about:
    'self time by function on the compute suite of the tests: total variation distance (half the sum ' +
    'of the differences of all shares). Only where V8 itself tells inlined functions apart: Node.js 26.',
  key: true,
  rounds: 3,
  unable: ({ major }) => (major < 26 ? 'its V8 does not tell inlined functions apart' : undefined),
  async run({ rounds, node }) {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'cpu-prof-'));
    const among = [];
    const against = [];
    try {
      for (let round = 0; round < rounds; round++) {
        const first = await theirs(directory, node);
        const own = await ours(node);
        const second = await theirs(directory, node);
        among.push(100 * distance(first, second));
        against.push(50 * (distance(own, first) + distance(own, second)));
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
    return {
      columns: ['', 'points'],
      rows: [
        { cells: ['two runs of `--cpu-prof`', show(among)] },
        { cells: ['otelpyroscope and `--cpu-prof`', show(against)] },
      ],
    };
  },
};

void runAsProgram(import.meta.url);
