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

/** Installs a package into a folder of its own; `flags`: more of npm's. */
function install(directory, name, flags = []) {
  mkdirSync(directory, { recursive: true });
  // A package of its own, or npm would install into the checkout.
  writeFileSync(path.join(directory, 'package.json'), '{ "private": true }\n');
  const all = ['--no-save', '--no-package-lock', '--no-audit', '--no-fund', '--loglevel=error'];
  const { status } = spawnSync('npm', ['install', ...all, ...flags, name], {
    cwd: directory,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  if (status !== 0) throw new Error(`${name} could not be installed.`);
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
  // --force: the package is for another architecture than this machine's. None of it runs here.
  const flags = arch === process.arch ? [] : ['--force', '--ignore-scripts'];
  install(path.resolve(prefix, '../..'), `node-linux-${arch}@${version}`, flags);
  return prefix;
}

/** Returns the file of a Mocha that runs on a version of Node: the checkout's needs 20.19 or 22.12. */
export function mochaFor(version) {
  const [major, minor] = version.replace(/^v/, '').split('.').map(Number);
  const isOld = (major === 20 && minor < 19) || (major === 22 && minor < 12);
  const directory = isOld ? path.join(packageRoot, '.nodes', 'mocha-11') : packageRoot;
  const file = path.join(directory, 'node_modules', 'mocha', 'bin', 'mocha.js');
  if (!existsSync(file)) install(directory, 'mocha@11');
  return file;
}
