/** The installers and other runtimes that tests of the tarball use: pinned versions, from the registry. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from '../support/run-child.mjs';

const VERSIONS = {
  'npm-11': 'npm:npm@11.19.1',
  'npm-12': 'npm:npm@12.2.2',
  pnpm: '12.21.0',
  'yarn-4': 'npm:@yarnpkg/cli-dist@4.18.1',
  'yarn-1': 'npm:yarn@1.22.22',
  bun: '1.4.5',
  deno: '2.9.6',
};

/** Installs all of them, once for all runs, and returns their node_modules. */
export function installTools() {
  const directory = path.join(ROOT, '.cache', 'tools');
  const manifest = `${JSON.stringify({ private: true, dependencies: VERSIONS })}\n`;
  const file = path.join(directory, 'package.json');
  const modules = path.join(directory, 'node_modules');
  const done = path.join(modules, '.installed');
  if (existsSync(done) && readFileSync(file, 'utf8') === manifest) return modules;
  mkdirSync(directory, { recursive: true });
  writeFileSync(file, manifest);
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error', '--no-package-lock'];
  execFileSync('npm', ['install', '--ignore-scripts', ...quiet], { cwd: directory });
  // Their install scripts put the program for this machine into its place.
  for (const [name, script] of [
    ['bun', 'install.js'],
    ['deno', 'install.cjs'],
  ]) {
    execFileSync(process.execPath, [script], { cwd: path.join(modules, name), stdio: 'ignore' });
  }
  writeFileSync(done, '');
  return modules;
}

/** Returns the registry that npm uses here. */
export function registry() {
  return execFileSync('npm', ['config', 'get', 'registry'], { encoding: 'utf8' }).trim();
}

/** Returns the environment of a program: that Node.js first, a home of its own, and this machine's network. */
export function environmentOf(bin, home) {
  const env = { PATH: `${bin}${path.delimiter}${process.env.PATH}`, HOME: home, CI: 'true' };
  for (const [name, value] of Object.entries(process.env)) {
    if (/^(\w+_proxy|SSL_CERT_FILE|NODE_EXTRA_CA_CERTS)$/i.test(name)) env[name] = value;
  }
  env.npm_config_registry = registry();
  return env;
}
