/**
 * Self time by function: ours beside `node --cpu-prof`, on the compute suite of the tests. Prints
 * the total variation distance (half the sum of the differences of all shares) of two runs of
 * --cpu-prof, and of ours and theirs. Only where V8 itself tells inlined functions apart: Node 26.
 *
 *     node test/bench/against-cpu-prof.mjs [rounds]
 */

import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { readProfile } from '../support/read-profile.mjs';
import { median, runVariant } from './measure.mjs';

const PROGRAM = fileURLToPath(new URL('programs/computing.mjs', import.meta.url));
const rounds = Number(process.argv[2] ?? 5);
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

async function theirs(directory) {
  await runVariant([
    '--cpu-prof',
    `--cpu-prof-dir=${directory}`,
    `--cpu-prof-interval=${INTERVAL_MICROS}`,
    PROGRAM,
  ]);
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

async function ours() {
  const { profile } = await runVariant([PROGRAM, String(INTERVAL_MICROS)]);
  const { samples } = readProfile(Buffer.from(profile, 'base64'));
  return sharesOf(samples.map(({ stack, nanos }) => ({ frames: stack, weight: nanos })));
}

const directory = mkdtempSync(path.join(os.tmpdir(), 'cpu-prof-'));
const among = [];
const against = [];
for (let round = 0; round < rounds; round++) {
  const first = await theirs(directory);
  const own = await ours();
  const second = await theirs(directory);
  among.push(distance(first, second));
  against.push((distance(own, first) + distance(own, second)) / 2);
}
rmSync(directory, { recursive: true });
const percent = (values) => (100 * median(values)).toFixed(1);
console.log(`Node ${process.version}, ${rounds} rounds, medians of the total variation distance`);
console.log(`two runs of --cpu-prof: ${percent(among)} points`);
console.log(`ours and --cpu-prof:    ${percent(against)} points`);
