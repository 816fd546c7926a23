/** Runs all linters: eslint, prettier, clang-format. With --fix they correct what they can. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { packageRoot } from './lib/native-build.mjs';

const require = createRequire(import.meta.url);
const fix = process.argv.includes('--fix');

function binary(packageName, name) {
  const manifest = require.resolve(`${packageName}/package.json`);
  const { bin } = require(manifest);
  return path.join(path.dirname(manifest), typeof bin === 'string' ? bin : bin[name]);
}

function cppFiles(directory) {
  const full = path.join(packageRoot, directory);
  if (!existsSync(full)) return [];
  return readdirSync(full, { recursive: true })
    .filter((file) => /\.(cc|h)$/.test(file) && !file.includes('node_modules'))
    .map((file) => path.join(directory, file));
}

/** Paths relative to the root. */
const cpp = ['native', 'test/native', 'test/robustness', 'bench'].flatMap(cppFiles);

const linters = [
  ['eslint', binary('eslint', 'eslint'), ['.', '--max-warnings=0', ...(fix ? ['--fix'] : [])]],
  [
    'prettier',
    binary('prettier', 'prettier'),
    ['.', fix ? '--write' : '--check', '--log-level=warn'],
  ],
  [
    'clang-format',
    binary('clang-format', 'clang-format'),
    ['-style=file', ...(fix ? ['-i'] : ['--dry-run', '-Werror']), ...cpp],
  ],
];

let failed = false;
for (const [name, script, args] of linters) {
  const { status } = spawnSync(process.execPath, [script, ...args], {
    cwd: packageRoot,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  console.log(`${name}: ${status === 0 ? 'ok' : 'failed'}`);
  if (status !== 0) failed = true;
}
if (failed) process.exitCode = 1;
