/** Installs other versions of Node than the running one, from npm's packages, into .nodes/. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { packageRoot } from './native-build.mjs';

function prefixOf(version, arch) {
  const folder = arch === process.arch ? version : `${version}-${arch}`;
  return path.join(packageRoot, '.nodes', folder, 'node_modules', `node-linux-${arch}`);
}

function versionAt(prefix) {
  const manifest = path.join(prefix, 'package.json');
  if (!existsSync(path.join(prefix, 'bin', 'node')) || !existsSync(manifest)) return undefined;
  return JSON.parse(readFileSync(manifest, 'utf8')).version;
}

/**
 * Returns the prefix of a version of Node for Linux, which it installs if it is missing.
 *
 * @param {string} version what npm understands: `22`, or exactly `22.23.3`
 */
export function installNode(version, arch = process.arch) {
  // The folder of the major version may have exactly this version.
  const major = prefixOf(version.split('.')[0], arch);
  if (versionAt(major) === version) return major;
  const prefix = prefixOf(version, arch);
  if (versionAt(prefix) !== undefined) return prefix;
  const directory = path.resolve(prefix, '../..');
  mkdirSync(directory, { recursive: true });
  // A package of its own, or npm would install into the checkout.
  writeFileSync(path.join(directory, 'package.json'), '{ "private": true }\n');
  const flags = ['--no-save', '--no-package-lock', '--no-audit', '--no-fund', '--loglevel=error'];
  // --force: the package is for another architecture than this machine's. None of it runs here.
  if (arch !== process.arch) flags.push('--force', '--ignore-scripts');
  const name = `node-linux-${arch}@${version}`;
  const { status } = spawnSync('npm', ['install', ...flags, name], {
    cwd: directory,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (status !== 0) throw new Error(`Node ${version} could not be installed.`);
  return prefix;
}
