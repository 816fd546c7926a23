/** Runs programs for arm64 on this machine: qemu-user, with the libraries of Debian's cross packages. */
import { execFile, execFileSync } from 'node:child_process';
import { accessSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const LIBRARIES = '/usr/aarch64-linux-gnu';

/** The command that runs a program for arm64, which follows it. */
export const qemu = ['qemu-aarch64', '-L', LIBRARIES];

/** The Debian packages that bring qemu, and what Node for arm64 needs to run under it. */
export const packages = [
  'qemu-user',
  'libc6-arm64-cross',
  'libstdc++6-arm64-cross',
  'libatomic1-arm64-cross',
];

/** Throws where they are not installed. */
export function requireQemu() {
  try {
    execFileSync(qemu[0], ['--version'], { stdio: 'ignore' });
    for (const library of ['libc.so.6', 'libstdc++.so.6', 'libatomic.so.1']) {
      accessSync(path.join(LIBRARIES, 'lib', library));
    }
  } catch (cause) {
    throw new Error(`Install ${packages.join(' ')} to run programs for arm64.`, { cause });
  }
}

/** Resolves to the output of a program for arm64; rejects if it does not exit with 0. */
export function runOnArm64(program, args, options = {}) {
  const [command, ...first] = qemu;
  return run(command, [...first, program, ...args], options);
}
