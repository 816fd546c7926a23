/** `otelpyroscope build`: compiles the native binary where the package has none for this Node.js. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { cachedBinaryPath, findBinary, PACKAGE_ROOT, unsupportedReason } from '../addon/loader.js';
import { cacheHome } from '../options/options.js';
import { CommandError, parseCommand, UsageError } from './arguments.js';

export const BUILD_HELP = `Usage: otelpyroscope build [options]

Compiles the profiler's native binary for the Node.js that runs this command,
into the folder of the package or, where that cannot be written, into
~/.cache/otelpyroscope. It is not needed where the package has a binary. It
needs a C++20 compiler, make, Python 3 and the headers of this Node.js.

  --force   compiles even if there is a binary for this Node.js
`;

/** Resolves to the exit code. */
export async function build(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseCommand(args, {
    force: { type: 'boolean', default: false },
  });
  if (positionals.length > 0) throw new UsageError('build takes no arguments');
  const unsupported = unsupportedReason();
  if (unsupported !== undefined) throw new CommandError(unsupported);
  if (!values.force) {
    const { file } = findBinary(cacheHome());
    if (file !== undefined) {
      console.log(`otelpyroscope: there is a binary for Node ${process.versions.node}: ${file}`);
      return 0;
    }
  }
  return compile();
}

async function compile(): Promise<number> {
  const script = path.join(PACKAGE_ROOT, 'scripts', 'build-native.mjs');
  const cacheFile = cachedBinaryPath(cacheHome());
  const cache = cacheFile === undefined ? [] : [`--cache=${cacheFile}`];
  const child = spawn(process.execPath, [script, '--installed', ...cache], { stdio: 'inherit' });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) return code ?? 1;
  // In a process of its own: this one may have loaded what was there before.
  return spawnSync(process.execPath, [__filename], { stdio: 'inherit' }).status ?? 1;
}

/** Sets the exit code of this process to 1, and prints why, if no binary can be loaded. */
function checkBinary(): void {
  const { file, problems } = findBinary(cacheHome());
  if (file !== undefined) return;
  console.error(`otelpyroscope: the binary cannot be used: ${problems.join('; ')}`);
  process.exitCode = 1;
}

if (require.main === module) checkBinary();
