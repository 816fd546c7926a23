/** Checks `otelpyroscope run` with programs that start others: which are in the profile, and what is said of the rest. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { readProfile } from '../../support/read-profile.mjs';
import { BURNT_NANOS, cli, fixture, LEAST_SHARE } from './cli.mjs';

describe('otelpyroscope run with child processes', function () {
  this.timeout(60_000);
  let directory;
  let out;

  beforeEach(function () {
    directory = mkdtempSync(path.join(os.tmpdir(), 'run-'));
    out = path.join(directory, 'cpu.pb.gz');
  });

  afterEach(function () {
    rmSync(directory, { recursive: true });
  });

  const run = (args, options) => cli(['run', '--out', out, ...args], options);
  const profile = () => readProfile(readFileSync(out));

  /** Runs the family, whose daemon it ends. */
  async function runFamily(args) {
    const ended = await run([...args, fixture('family.cjs')]);
    assert.equal(ended.code, 3, ended.stderr);
    process.kill(Number(/daemon (\d+)/.exec(ended.stdout)[1]));
    return ended;
  }

  it('merges all processes, labelled by process, and names those that are missing', async function () {
    const { stderr } = await runFamily([]);
    const merged = profile();
    const burnt = merged.samples.filter(({ stack }) => stack.some(({ name }) => name === 'burn'));
    const nanosOf = new Map();
    for (const { labels, nanos } of burnt) {
      const key = `${labels.process} ${labels.pid}`;
      nanosOf.set(key, (nanosOf.get(key) ?? 0) + nanos);
    }
    const names = [...nanosOf.keys()].map((key) => key.replace(/ \d+$/, '')).sort();
    // The program and its cluster worker; the forked one, and that of the shell.
    assert.deepEqual(names, ['family.cjs', 'family.cjs', 'relative.cjs', 'relative.cjs'], stderr);
    for (const [key, nanos] of nanosOf) {
      assert.ok(nanos > LEAST_SHARE * BURNT_NANOS, `${key}: ${nanos} ns`);
      assert.ok(nanos < 2 * BURNT_NANOS, `${key}: ${nanos} ns`);
    }
    const rows = /\nBy process\n(.*\n.*\n)/.exec(stderr)?.[1] ?? stderr;
    assert.ok(/%\s+relative\.cjs\n/.test(rows) && /%\s+family\.cjs\n/.test(rows), stderr);
    assert.match(stderr, /other child processes used .*s of CPU, not included: they are not Node/);
    assert.match(
      stderr,
      /1 process left no profile, because it was killed or could not write it: relative\.cjs/,
    );
    assert.match(stderr, /1 process still running, not included: relative\.cjs \(\d+\)/);
    assert.deepEqual(readdirSync(directory), ['cpu.pb.gz']);
  });

  it('names the child processes and their CPU with --no-children', async function () {
    const { stderr } = await runFamily(['--no-children']);
    const said = /(\d) child processes used (\S+) (m?s) of CPU, not included: /.exec(stderr);
    assert.ok(said, stderr);
    const [, count, cpu, unit] = said;
    // Those that are merged otherwise, and the one that is killed.
    assert.equal(count, '4', stderr);
    assert.ok(cpu * (unit === 's' ? 1_000 : 1) > 2 * 150, stderr);
    assert.match(stderr, /not included: relative\.cjs \(3\), family\.cjs/);
    const { samples, totalNanos } = profile();
    assert.ok(samples.every(({ labels }) => labels.process === undefined));
    assert.ok(totalNanos < 4 * BURNT_NANOS, `${totalNanos} ns`);
  });

  it('runs a command of PATH, and leaves out a package manager unless it is alone', async function () {
    const bin = path.join(directory, 'with space "and quotes"');
    mkdirSync(bin);
    const npm = path.join(bin, 'npm');
    const burn = `require(${JSON.stringify(fixture('burn.cjs'))}).burn(150);`;
    writeFileSync(path.join(bin, 'work.cjs'), `${burn} console.log(process.argv[2]);`);
    writeFileSync(
      npm,
      `#!/usr/bin/env node
      ${burn}
      const { spawn } = require('node:child_process');
      if (process.argv[2] !== 'alone') {
        const command = 'true && node work.cjs "$0"';
        spawn('sh', ['-c', command, process.argv[2]], { cwd: __dirname, stdio: 'inherit' }).on(
          'exit',
          (code) => process.exit(code + 4),
        );
      }`,
    );
    chmodSync(npm, 0o755);
    const env = { PATH: `${bin}:${path.dirname(process.execPath)}:${process.env.PATH}` };
    const ended = await run(['npm', 'an argument'], { env });
    assert.deepEqual([ended.code, ended.stdout], [4, 'an argument\n'], ended.stderr);
    assert.match(ended.stderr, /npm used .* of CPU, not included/);
    const files = new Set(profile().samples.flatMap(({ stack }) => stack.map(({ file }) => file)));
    assert.ok(files.has(path.join(bin, 'work.cjs')), ended.stderr);
    assert.ok(!files.has(npm));
    const alone = await run(['npm', 'alone'], { env });
    assert.equal(alone.code, 0, alone.stderr);
    assert.ok(profile().share('burn') > LEAST_SHARE);
  });

  it('ends with one sentence, and the same exit code, where nothing starts Node.js', async function () {
    const { code, stdout, stderr } = await run(['sh', '-c', 'echo done; exit 7']);
    assert.deepEqual([code, stdout], [7, 'done\n']);
    assert.equal(stderr, 'otelpyroscope: there is no profile: no Node.js process was started\n');
    assert.deepEqual(readdirSync(directory), []);
  });
});
