/** One of the applications of this folder: installed with the packed package, run, asked and ended. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { runNode } from '../../support/run-child.mjs';
import { packPackage } from '../../support/tarball.mjs';

/** The workspace's own settings (a prefix, a production mode) must not leak in. */
const LEAKS = [
  /^npm_(config_(?!registry|cache|userconfig)|package_|lifecycle_)/i,
  /^NODE_(ENV|OPTIONS)$/,
];
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !LEAKS.some((leak) => leak.test(name))),
);

export class FrameworkApplication {
  /** @param {string} name Of the folder. */
  constructor(name) {
    this.directory = fileURLToPath(new URL(name, import.meta.url));
    this.require = createRequire(path.join(this.directory, 'package.json'));
  }

  /**
   * Has in node_modules what the lock file says, and the package as it would be published.
   * Not by `npm ci`, which is about the lock file alone and has no room for a tarball.
   */
  install() {
    const packed = mkdtempSync(path.join(os.tmpdir(), 'packed-'));
    const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];
    const flags = ['--no-save', '--ignore-scripts', '--prefer-offline', ...quiet];
    try {
      this.run('npm', ['install', ...flags, packPackage(packed).file]);
    } finally {
      rmSync(packed, { recursive: true });
    }
  }

  path(...parts) {
    return path.join(this.directory, ...parts);
  }

  /** Runs a program there to its end; throws with its output where it fails. */
  run(command, args, env = {}) {
    try {
      execFileSync(command, args, {
        cwd: this.directory,
        env: { ...environment, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
    } catch (error) {
      throw new Error(`${command} ${args.join(' ')}\n${error.stdout}${error.stderr}`, {
        cause: error,
      });
    }
  }

  /**
   * Runs the service until it has said where it listens, has answered, and `until` has come true;
   * then ends it by SIGTERM.
   *
   * @param {string[]} command For node.
   * @param {{ env: Record<string, string>, paths: string[], until: () => Promise<void> }} options
   *   paths: asked for all at once.
   */
  async serve(command, { env, paths, until }) {
    let served;
    const ended = await runNode(command, {
      cwd: this.directory,
      env,
      timeoutMs: 200_000,
      onSpawn: (child) => {
        let text = '';
        child.stdout.on('data', (chunk) => {
          text += chunk;
          const [, port] = /http:\/\/(?:localhost|127\.0\.0\.1):(\d+)/.exec(text) ?? [];
          if (port === undefined || served !== undefined) return;
          served = ask(`http://127.0.0.1:${port}`, paths).then(until);
          served.catch(() => {}).finally(() => child.kill('SIGTERM'));
        });
      },
    });
    if (served === undefined)
      throw new Error(`it has never listened:\n${ended.stdout}${ended.stderr}`);
    await served.catch((error) => {
      throw new Error(`${error.message}\n${ended.stdout}${ended.stderr}`);
    });
    return ended;
  }
}

/** Asks for all at once. A connection that stays open would keep the service from its end. */
async function ask(url, paths) {
  await Promise.all(
    paths.map(async (each) => {
      const response = await fetch(url + each, { headers: { connection: 'close' } });
      const body = await response.text();
      if (response.status !== 200 || !body.includes(each.split('/').at(-1))) {
        throw new Error(`${each}: ${response.status} ${body}`);
      }
    }),
  );
}
