/** A copy of the checkout whose only binary is a given one: the checkout's own tests run against that. */
import { execFile } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { binaryPath } from '../../scripts/lib/native-build.mjs';
import { ROOT } from '../support/run-child.mjs';

const run = promisify(execFile);
const mocha = createRequire(import.meta.url).resolve('mocha/bin/mocha.js');
/** Files of a checkout that tests need, besides the packages. */
const PARTS = ['lib', 'native', 'scripts', 'test', 'package.json'];

export class Copy {
  directory = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'copy-')));
  /** The path where the loader finds the binary. */
  binary;

  /** @param target what the binary is for, as of `describeNode` or of `prebuilds` */
  constructor(target, binary) {
    for (const part of PARTS) {
      // Without packages and pictures of tests.
      const filter = (file) => !['node_modules', '.pictures'].includes(path.basename(file));
      cpSync(path.join(ROOT, part), path.join(this.directory, part), { recursive: true, filter });
    }
    symlinkSync(path.join(ROOT, 'node_modules'), path.join(this.directory, 'node_modules'));
    this.binary = binaryPath(target, this.directory);
    mkdirSync(path.dirname(this.binary), { recursive: true });
    cpSync(binary, this.binary);
  }

  /**
   * Runs tests of the copy: titles of those that passed, titles and errors of those that failed.
   *
   * @param {string[]} files relative to the checkout
   * @param {{ grep?: string, invert?: boolean, execPath?: string, node?: string[], timeoutMs?: number }} options
   *   execPath: the Node that runs mocha; node: the command that runs the tests' child processes,
   *   usually the same Node.
   */
  async test(files, { grep, invert = false, execPath = process.execPath, node, timeoutMs } = {}) {
    const report = path.join(this.directory, 'report.json');
    rmSync(report, { force: true });
    const args = ['--no-config', '--reporter=json', `--reporter-option=output=${report}`];
    if (grep !== undefined) args.push(`--grep=${grep}`);
    if (invert) args.push('--invert');
    const env = { ...process.env, MOCHA_SUMMARY: '', NODE_OPTIONS: '' };
    env.PATH = `${path.dirname(execPath)}${path.delimiter}${process.env.PATH}`;
    if (node !== undefined) env.OTELPYROSCOPE_TEST_NODE = JSON.stringify(node);
    const options = { cwd: this.directory, env, maxBuffer: 1 << 26, timeout: timeoutMs };
    let failure;
    await run(execPath, [mocha, ...args, ...files], options).catch((error) => (failure = error));
    let results;
    try {
      results = JSON.parse(readFileSync(report, 'utf8'));
    } catch {
      throw failure ?? new Error('mocha wrote no report.');
    }
    return {
      passed: results.passes.map(({ fullTitle }) => fullTitle),
      failed: results.failures.map(({ fullTitle, err }) => `${fullTitle}: ${err.stack}`),
    };
  }

  remove() {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
