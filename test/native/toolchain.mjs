/** Compiles C++ for the tests, into .cache/, and only what has changed. */
import { execFile, execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describeNode } from '../../scripts/lib/native-build.mjs';
import { needs } from '../support/needs.mjs';

const run = promisify(execFile);

export const testDirectory = path.dirname(fileURLToPath(import.meta.url));
export const packageRoot = path.resolve(testDirectory, '../..');
export const nativeDirectory = path.join(packageRoot, 'native');
/** Files below native/ that end so, relative to it, as "base/clock.h". */
export const nativeFiles = (suffix) =>
  readdirSync(nativeDirectory, { recursive: true })
    .filter((file) => file.endsWith(suffix))
    .sort();
/** Where the programs of the native tests are built. */
export const buildDirectory = path.join(packageRoot, '.cache', 'test-native');

/** The compiler of this machine; for other machines, see scripts/lib/zig.mjs. */
const host = { compiler: process.env.CXX ?? 'c++', env: process.env };
const commonFlags = [
  '-std=gnu++20',
  '-g1',
  '-Wall',
  '-Wextra',
  '-Wno-unused-parameter',
  '-Werror',
  '-pthread',
  '-DOTELPYROSCOPE_DEBUG_CHECKS',
  `-I${nativeDirectory}`,
  `-I${testDirectory}`,
];

/** Returns the machine and the C library that a compiler compiles for, such as "x86_64-linux-gnu". */
function targetOf({ compiler, env }) {
  return execFileSync(compiler, ['-dumpmachine'], { encoding: 'utf8', env }).trim();
}

/**
 * Skips what is loaded into Node.js if the compiler is for another C library than Node.js is, as it
 * is where a Node.js for musl runs on a system with glibc; fails instead on CI.
 */
export function needsCompilerForNode(context) {
  const { libc } = describeNode();
  const isMusl = targetOf(host).endsWith('musl');
  needs(isMusl === (libc === 'musl'), `a compiler for ${libc}`, context);
}

/** Everything that a compilation may have read, for what, and how it was called. */
function fingerprint(toolchain, parts, sources) {
  const hash = createHash('sha256');
  for (const part of [toolchain.compiler, targetOf(toolchain), ...parts])
    hash.update(part).update('\0');
  for (const file of sources) hash.update(file).update('\0').update(readFileSync(file));
  for (const directory of [nativeDirectory, testDirectory]) {
    for (const file of readdirSync(directory, { recursive: true }).sort()) {
      if (!/\.(cc|h)$/.test(file)) continue;
      hash
        .update(file)
        .update('\0')
        .update(readFileSync(path.join(directory, file)));
    }
  }
  return hash.digest('hex');
}

async function compileOne(source, object, flags, { compiler, env }) {
  try {
    await run(compiler, [...commonFlags, ...flags, '-c', '-o', object, source], { env });
  } catch (error) {
    throw new Error(`${path.relative(packageRoot, source)} does not compile:\n${error.stderr}`, {
      cause: error,
    });
  }
}

function upToDate(output, print) {
  const stamp = `${output}.stamp`;
  return existsSync(output) && existsSync(stamp) && readFileSync(stamp, 'utf8') === print;
}

/** Does the work for all items, two at a time: small machines have two cores. */
export async function twoAtATime(items, work) {
  const waiting = [...items];
  const worker = async () => {
    for (let item = waiting.shift(); item; item = waiting.shift()) await work(item);
  };
  await Promise.all([worker(), worker()]);
}

/**
 * Compiles `sources` (absolute paths) into `directory` and returns the object files. Warnings are
 * errors. Does nothing when nothing has changed.
 */
export async function compileObjects(directory, sources, flags, toolchain = host) {
  const jobs = sources.map((source) => ({
    source,
    object: path.join(directory, `${path.basename(source)}.o`),
  }));
  const objects = jobs.map(({ object }) => object);
  const print = fingerprint(toolchain, [...commonFlags, ...flags], sources);
  if (objects.every(existsSync) && upToDate(objects[0], print)) return objects;
  mkdirSync(directory, { recursive: true });
  await twoAtATime(jobs, ({ source, object }) => compileOne(source, object, flags, toolchain));
  writeFileSync(`${objects[0]}.stamp`, print);
  return objects;
}

/**
 * Compiles and links `sources` (absolute paths) into `output`, a program or, with `-shared` in
 * `linkFlags`, a shared object. Warnings are errors. Does nothing when nothing has changed.
 */
export async function compile(output, sources, flags = [], linkFlags = [], toolchain = host) {
  const { compiler, env } = toolchain;
  const print = fingerprint(toolchain, [...commonFlags, ...flags, ...linkFlags], sources);
  if (upToDate(output, print)) return;
  mkdirSync(path.dirname(output), { recursive: true });
  const jobs = sources.map((source) => ({
    source,
    object: path.join(path.dirname(output), `${path.basename(source)}.${process.pid}.o`),
  }));
  await twoAtATime(jobs, ({ source, object }) => compileOne(source, object, flags, toolchain));
  const temporary = `${output}.${process.pid}`;
  const objects = jobs.map(({ object }) => object);
  const link = ['-pthread', ...flags, ...linkFlags, '-o', temporary, ...objects, '-ldl'];
  await run(compiler, link, { env });
  for (const object of objects) rmSync(object);
  renameSync(temporary, output);
  writeFileSync(`${output}.stamp`, print);
}
