/** Packs what `npm publish` would publish, and installs it in an application without npm. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { npmPack } from '../../scripts/lib/pack.mjs';
import { ROOT } from './run-child.mjs';

const manifest = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
/** Packages that are installed with this one, and those that its users have. */
export const DEPENDENCIES = Object.keys(manifest.dependencies);
export const PEERS = Object.keys(manifest.peerDependencies);

/**
 * Packs the checkout as it is built into `directory`; or, by `from`, another place where what is
 * published has been put together.
 *
 * @returns {{ file: string, packedBytes: number, unpackedBytes: number, paths: string[] }}
 */
export function packPackage(directory, from) {
  const options = [`--pack-destination=${directory}`];
  const { filename, size, unpackedSize, files } = npmPack(options, from);
  return {
    file: path.join(directory, filename),
    packedBytes: size,
    unpackedBytes: unpackedSize,
    paths: files.map((file) => file.path),
  };
}

function link(name, modules) {
  const place = path.join(modules, name);
  mkdirSync(path.dirname(place), { recursive: true });
  symlinkSync(path.join(ROOT, 'node_modules', name), place);
}

/** An application in an empty directory outside of the checkout, with the package installed in it. */
export class Application {
  /** The application's own directory. */
  directory = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'application-')));
  /** Where the package really is. */
  installed;

  /**
   * @param {{ tarball: string, layout?: 'flat' | 'store', link?: string[] }} options
   *   flat: as npm installs; store: as pnpm does, by symbolic links. link: further packages of the
   *   checkout that the application uses.
   */
  constructor({ tarball, layout = 'flat', link: others = [] }) {
    const modules = path.join(this.directory, 'node_modules');
    const home =
      layout === 'flat'
        ? modules
        : path.join(modules, '.pnpm', 'otelpyroscope@0.0.0', 'node_modules');
    this.installed = path.join(home, 'otelpyroscope');
    mkdirSync(this.installed, { recursive: true });
    execFileSync('tar', ['-xzf', tarball, '-C', this.installed, '--strip-components=1']);
    for (const name of [...DEPENDENCIES, ...PEERS]) link(name, home);
    if (layout === 'store') {
      symlinkSync(this.installed, path.join(modules, 'otelpyroscope'));
      for (const name of PEERS) link(name, modules);
    }
    for (const name of others) link(name, modules);
  }

  /** Whether the package has a binary for some Node. */
  get hasBinaries() {
    return existsSync(path.join(this.installed, 'prebuilds'));
  }

  /** Runs Node in the application; returns what it printed. Throws when it does not exit with 0. */
  node(args, { env = {}, execPath = process.execPath } = {}) {
    const { status, signal, stdout, stderr } = spawnSync(execPath, args, {
      cwd: this.directory,
      encoding: 'utf8',
      timeout: 120_000,
      env: { ...process.env, NODE_OPTIONS: '', ...env },
    });
    if (status === 0) return { stdout, stderr };
    throw new Error(`${args.join(' ')}: exit code ${status}, signal ${signal}\n${stdout}${stderr}`);
  }

  remove() {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
