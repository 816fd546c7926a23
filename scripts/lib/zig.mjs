/** The compiler for other machines than this one: zig's clang, with its own libcs. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { packageRoot } from './native-build.mjs';

/** The environment variable is set where several checkouts share a directory, as in CI. */
const directory = path.resolve(
  process.env.OTELPYROSCOPE_TOOLCHAIN ?? path.join(packageRoot, '.toolchain'),
);
const lockFile = path.join(packageRoot, 'scripts', 'lib', 'toolchain', 'package-lock.json');
const zig = path.join(directory, 'node_modules', '@ryoppippi', 'zig-linux-x64', 'zig');

/** The oldest glibc that the binaries load with: that of RHEL 8 and Debian 10. */
export const minimumGlibc = '2.28';

const architectures = { x64: 'x86_64', arm64: 'aarch64' };

function tripleOf({ arch, libc }) {
  const abi = libc === 'glibc' ? `gnu.${minimumGlibc}` : 'musl';
  return `${architectures[arch]}-linux-${abi}`;
}

/** Installs zig if it is missing, in the version and with the hash of the lock file. */
function installZig() {
  const installed = path.join(directory, 'installed');
  const wanted = readFileSync(lockFile, 'utf8');
  if (existsSync(zig) && existsSync(installed) && readFileSync(installed, 'utf8') === wanted)
    return;
  mkdirSync(directory, { recursive: true });
  const manifest = path.join(path.dirname(lockFile), 'package.json');
  copyFileSync(manifest, path.join(directory, 'package.json'));
  writeFileSync(path.join(directory, 'package-lock.json'), wanted);
  const flags = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status } = spawnSync('npm', ['ci', ...flags], { cwd: directory, stdio: 'inherit' });
  if (status !== 0) throw new Error('zig could not be installed.');
  writeFileSync(installed, wanted);
}

/** Returns the symbols that musl defines, from the list that zig links against. */
export function muslSymbols() {
  const list = path.join(path.dirname(zig), 'lib', 'libc', 'musl', 'libc.S');
  const text = readFileSync(list, 'utf8');
  return [...text.matchAll(/^(?:\.globl|\.weak|WEAK\w*) (\w+)/gm)].map((match) => match[1]);
}

/** Returns the environment for compilers of `zigCompilers`: their caches are in the checkout. */
export function zigEnvironment() {
  const cache = path.join(directory, 'cache');
  return { ...process.env, ZIG_GLOBAL_CACHE_DIR: cache, ZIG_LOCAL_CACHE_DIR: cache };
}

/**
 * Returns commands `cc` and `cxx` that compile and link for `target`. The first program for a target
 * takes a minute, in which zig compiles the C++ library.
 *
 * @param {{ arch: 'x64' | 'arm64', libc: 'glibc' | 'musl' }} target
 */
export function zigCompilers(target) {
  installZig();
  const bin = path.join(directory, 'bin', tripleOf(target));
  mkdirSync(bin, { recursive: true });
  const compilers = {};
  for (const [name, command] of [
    ['cc', 'cc'],
    ['cxx', 'c++'],
  ]) {
    const file = path.join(bin, command);
    const script = `#!/bin/sh\nexec "${zig}" ${command} -target ${tripleOf(target)} "$@"\n`;
    // An unchanged file is not written again: another build may be running it.
    if (!existsSync(file) || readFileSync(file, 'utf8') !== script) {
      writeFileSync(file, script, { mode: 0o755 });
    }
    compilers[name] = file;
  }
  return compilers;
}
