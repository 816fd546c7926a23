/** Installs the profilers that ours is compared with, on demand, into a folder of their own. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

// It has no code of ours: inside another package, ours could not be imported by its name.
const FOLDER = fileURLToPath(new URL('peers/', import.meta.url));
const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));

/** Returns versions by name, as its package.json pins them. */
export function peerVersions() {
  return readJson(path.join(FOLDER, 'package.json')).devDependencies;
}

function isInstalled([name, version]) {
  const manifest = path.join(FOLDER, 'node_modules', name, 'package.json');
  return existsSync(manifest) && readJson(manifest).version === version;
}

/** Loads one of the profilers. */
export const requirePeer = createRequire(path.join(FOLDER, 'package.json'));

/** Returns the environment without npm's variables: settings of one npm must not reach another. */
export function plainEnvironment() {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^npm_(config_(?!registry|cache|userconfig)|package_|lifecycle_)/i.test(name),
    ),
  );
}

/** Installs the profilers if they are missing. Throws if npm fails. */
export function installPeers() {
  if (Object.entries(peerVersions()).every(isInstalled)) return;
  console.log('Installing the peers into bench/peers/');
  execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--include=dev'], {
    cwd: FOLDER,
    env: plainEnvironment(),
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}
