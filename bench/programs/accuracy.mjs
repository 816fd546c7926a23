/**
 * Does work whose CPU is known, in functions named after it, under one profile. Reports the truth and
 * the profile. Argument: the profiler.
 */

import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { deflate } from 'node:zlib';
import { processMicros } from '../clock.mjs';
import { report, startProfiler } from './profilers.mjs';

const deflateAsync = promisify(deflate);
const mode = process.argv[2];
const truth = {};

/** Adds the CPU of `fn` to the truth under its name. */
function counted(name, fn) {
  const begin = processMicros();
  fn();
  truth[name] = (truth[name] ?? 0) + processMicros() - begin;
}

// Small enough for V8 to inline, and where nearly all the CPU goes.
function inlinedLeaf(from) {
  let sum = from;
  for (let i = 0; i < 2_000; i++) sum = (sum * 31 + i) | 0;
  return sum;
}

function leafCaller(micros) {
  const end = processMicros() + micros;
  let sum = 0;
  while (processMicros() < end) for (let i = 0; i < 50; i++) sum = inlinedLeaf(sum);
  return sum;
}

/** Each function has code of its own, as Function.prototype.toString would show. */
const bursts = Object.fromEntries(
  ['Short', 'Medium', 'Long', 'Longest'].map((name) => [
    name,
    new Function(
      'micros',
      'now',
      `return function burst${name}() {
        const end = now() + micros;
        let sum = 0;
        while (now() < end) for (let i = 0; i < 2000; i++) sum += Math.sqrt(i);
        return sum;
      }`,
    )({ Short: 700, Medium: 1_400, Long: 2_100, Longest: 2_800 }[name], processMicros),
  ]),
);

async function burstyService(seconds) {
  const end = performance.now() + seconds * 1_000;
  const names = Object.keys(bursts);
  while (performance.now() < end) {
    // Random, so as to keep no step with the kernel's ticks: 12 % busy.
    await sleep(26 * Math.random());
    const name = names[Math.floor(Math.random() * names.length)];
    counted(`burst${name}`, bursts[name]);
  }
}

function burnRed(micros) {
  return leafCaller(micros);
}
function burnBlue(micros) {
  return leafCaller(micros);
}

/** Burns CPU under a label in one async context; two of them alternate. */
async function burnUnderLabel(burn, label, micros, times) {
  await profiler.run({ colour: label }, async () => {
    for (let i = 0; i < times; i++) {
      await turn();
      counted(label, () => burn(micros));
      await null;
    }
  });
}

/** Makes garbage, and uses a thread of the pool. */
async function others(micros) {
  const end = processMicros() + micros;
  const kept = [];
  const data = Buffer.alloc(1 << 20, 'some text to be compressed ');
  while (processMicros() < end) {
    const compressed = deflateAsync(data);
    for (let i = 0; i < 20_000; i++) kept[i] = { i, text: `${i}` };
    await compressed;
  }
}

for (const burst of Object.values(bursts)) for (let i = 0; i < 20; i++) burst();
leafCaller(200_000);
const profiler = await startProfiler(mode);
await sleep(200);
const begin = processMicros();
counted('leaf', () => leafCaller(1_200_000));
await burstyService(6);
await Promise.all([
  burnUnderLabel(burnRed, 'red', 1_000, 300),
  burnUnderLabel(burnBlue, 'blue', 3_000, 300),
]);
await others(1_000_000);
const total = processMicros() - begin;
const profile = await profiler.stop();
report({ truth, total, profile: profile && Buffer.from(profile).toString('base64') });
