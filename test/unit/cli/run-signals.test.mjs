/** Checks that one signal ends programs under `otelpyroscope run`, busy ones too, with their profile. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { needsProgram } from '../../support/needs.mjs';
import { readProfile } from '../../support/read-profile.mjs';
import { CLI, fixture, run } from './cli.mjs';

const BUSY = fixture('busy.cjs');
const BUSY_MS = 200;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Runs a command in a terminal of its own, and types Ctrl-C when the program has begun to work. */
const TERMINAL = `
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
text, typed = b'', False
while True:
    try:
        part = os.read(terminal, 65536)
    except OSError:
        break
    if not part:
        break
    text += part
    if not typed and b'loops in' in text:
        typed = True
        os.write(terminal, b'\\x03')
status = os.waitpid(pid, 0)[1]
print(text.decode().replace('\\r', ''))
print('ended by signal', os.WTERMSIG(status) if os.WIFSIGNALED(status) else 'none')
`;

describe('otelpyroscope run and signals', function () {
  this.timeout(60_000);
  let directory;

  beforeEach(function () {
    directory = mkdtempSync(path.join(os.tmpdir(), 'run-'));
  });

  afterEach(function () {
    rmSync(directory, { recursive: true });
  });

  const outOf = (way) => path.join(directory, `${way}.pb.gz`);
  /** Runs the program, and calls `act(child, pid of the program)` some time after it has begun. */
  const busy = (way, act) =>
    run(['--out', outOf(way), BUSY, way], {
      until: new RegExp(`${way} in (\\d+)`),
      act: async (child, [, pid]) => {
        await pause(BUSY_MS);
        await act(child, Number(pid));
      },
    });
  /** The share of the CPU under the program's own label. */
  function shareOf(file, way) {
    const profile = readProfile(readFileSync(file));
    return profile.nanos(({ labels }) => labels.job === way) / profile.totalNanos;
  }

  it('writes the profile of a program in an endless loop, and ends it as the signal does', async function () {
    const [loops, matches] = await Promise.all([
      // To the program alone, as a supervisor sends it, and to `run`, which passes it on.
      busy('loops', (_, pid) => process.kill(pid, 'SIGINT')),
      busy('matches', (child) => child.kill('SIGTERM')),
    ]);
    assert.deepEqual([loops.code, loops.signal], [null, 'SIGINT'], loops.stderr);
    assert.deepEqual([matches.code, matches.signal], [null, 'SIGTERM'], matches.stderr);
    for (const way of ['loops', 'matches']) {
      const share = shareOf(outOf(way), way);
      assert.ok(share > 0.4, `${way}: ${share}`);
    }
    assert.match(loops.stderr, /\nA sample per 10 ms of CPU, .* \(clock: (?:tick|perf)\)\n/);
    assert.match(loops.stderr, /\nBy job\n(.*\n)?.*%\s+loops\n/);
    assert.equal(readdirSync(directory).length, 2);
  });

  it('says that native code keeps it from that, and ends at the second signal; at the first if the profile is written', async function () {
    const [ended, exited] = await Promise.all([
      busy('blocks', async (_, pid) => {
        process.kill(pid, 'SIGTERM');
        // Too soon to be a second one.
        await pause(100);
        process.kill(pid, 'SIGTERM');
        await pause(3_000);
        process.kill(pid, 'SIGTERM');
      }),
      run(['--out', outOf('exits'), BUSY, 'exits'], {
        until: /exiting/,
        act: (child) => child.kill('SIGTERM'),
      }),
    ]);
    assert.deepEqual([exited.code, exited.signal], [null, 'SIGTERM'], exited.stderr);
    assert.ok(shareOf(outOf('exits'), 'exits') > 0.2, exited.stderr);
    rmSync(outOf('exits'));
    assert.deepEqual([ended.code, ended.signal], [null, 'SIGTERM'], ended.stderr);
    assert.match(ended.stderr, /busy in native code.*\n.*there is no profile\n/);
    assert.match(
      ended.stderr,
      /1 process left no profile, because it was killed or could not write it: busy\.cjs/,
    );
    assert.deepEqual(readdirSync(directory), []);
  });

  it('ends it at one Ctrl-C in a terminal, which sends the signal to both', async function () {
    needsProgram('python3', this);
    const script = path.join(directory, 'terminal.py');
    writeFileSync(script, TERMINAL);
    const command = [process.execPath, CLI, 'run', '--out', outOf('loops'), BUSY, 'loops'];
    const { stdout } = await promisify(execFile)('python3', [script, ...command]);
    // Python has the status as the shell would: 2 is SIGINT.
    assert.match(stdout, /ended by signal 2\n$/);
    assert.equal(stdout.match(/profile: /g)?.length, 1, stdout);
    assert.ok(shareOf(outOf('loops'), 'loops') > 0.4, stdout);
  });

  it('leaves the signal to listeners of the program, and ends it when they are gone', async function () {
    const [listens, once] = await Promise.all([
      busy('listens', (child) => child.kill('SIGTERM')),
      busy('listensOnce', async (child) => {
        child.kill('SIGTERM');
        await pause(BUSY_MS);
        child.kill('SIGTERM');
      }),
    ]);
    assert.deepEqual([listens.code, listens.signal], [7, null], listens.stderr);
    assert.deepEqual([once.code, once.signal], [null, 'SIGTERM'], once.stderr);
    assert.match(once.stdout, /\nfirst\n$/);
    assert.ok(existsSync(outOf('listens')) && existsSync(outOf('listensOnce')));
  });

  it('ends the program where run itself is killed, and says where the profile is', async function () {
    const ended = await busy('loops', (child) => child.kill('SIGKILL'));
    assert.equal(ended.signal, 'SIGKILL');
    const [, file] = /run has been killed; .* is (.*)\n/.exec(ended.stderr);
    assert.ok(shareOf(file, 'loops') > 0.4);
    rmSync(path.dirname(file), { recursive: true });
  });

  it('ends the program with the package manager, and with the shell, that has started it', async function () {
    const npx = path.join(directory, 'npx');
    const command = [process.execPath, CLI, 'run', '--out', outOf('waits')];
    const shell = `${[...command, 'sh', '-c', `'${process.execPath} ${BUSY} waits; true'`].join(' ')}; true`;
    writeFileSync(
      npx,
      `require('node:child_process').spawn('sh', ['-c', ${JSON.stringify(shell)}], { stdio: 'inherit' });`,
    );
    const child = spawn(process.execPath, [npx], { detached: true });
    const output = { stdout: '', stderr: '' };
    child.stdout.on('data', (chunk) => {
      output.stdout += chunk;
      if (/waits in/.test(output.stdout)) child.kill('SIGKILL');
    });
    child.stderr.on('data', (chunk) => (output.stderr += chunk));
    // When the last of those that have its output has ended.
    await once(child, 'close');
    assert.match(output.stderr, /npx has ended, and so ends the program/);
    assert.ok(existsSync(outOf('waits')), output.stderr);
  });
});
