/** Checks `otelpyroscope attach`: profiles of processes that know nothing of it, and are the same afterwards. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { onStack, readProfile } from '../../support/read-profile.mjs';
import { cli, fixture } from './cli.mjs';

const TARGET = fixture('attach-target.mjs');
/** Another process may listen at the inspector's usual port. */
const ANY_PORT = '--inspect-port=0';

/** Checks the profile of the target: shares of CPU, and labels. */
function checkProfile(profile) {
  const within = (name) => profile.nanos((sample) => onStack(sample, name));
  const named = (name, label) =>
    profile.nanos((sample) => onStack(sample, name) && sample.labels.span_name === label);
  for (const [name, wanted, label] of [
    ['cheap', 1 / 7, 'GET /cheap'],
    ['dear', 2 / 7, 'GET /dear'],
    ['job', 2 / 7, 'job'],
    // The root of an open span below another one is not known.
    ['below', 2 / 7, undefined],
  ]) {
    const share = within(name) / within('burn');
    assert.ok(Math.abs(share - wanted) < 0.15, `${name}: ${share}`);
    // The first sample may be of work that began before the labels.
    assert.ok(named(name, label) > 0.7 * within(name), `${label}: ${named(name, label)}`);
  }
  const labelled = profile.samples.filter(
    (sample) => onStack(sample, 'below') && sample.labels.span_name,
  );
  assert.deepEqual(labelled, []);
}

describe('otelpyroscope attach', function () {
  this.timeout(60_000);
  let directory;
  const children = [];

  before(function () {
    directory = mkdtempSync(path.join(os.tmpdir(), 'attach-'));
  });

  afterEach(function () {
    for (const child of children.splice(0)) child.kill('SIGKILL');
  });

  after(function () {
    rmSync(directory, { recursive: true });
  });

  /** Starts a process that runs until the test ends. */
  function start(command, args, env = {}) {
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe', ...(command === process.execPath ? ['ipc'] : [])],
      env: { ...process.env, NODE_OPTIONS: '', NODE_NO_WARNINGS: '1', ...env },
    });
    children.push(child);
    child.printed = '';
    // Always one: without listener, Node.js would keep the messages for the next one.
    child.on('message', ({ round }) => (child.round = round ?? child.round));
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (text) => (child.printed += text));
    }
    return child;
  }

  /** Resolves to the first message of the child for which `pick` returns something. */
  function message(child, pick) {
    return new Promise((resolve, reject) => {
      const listener = (each) => {
        const found = pick(each);
        if (found === undefined) return;
        child.off('message', listener);
        resolve(found);
      };
      child.on('message', listener);
      child.once('exit', () => reject(new Error(`the target has ended: ${child.printed}`)));
    });
  }

  /** Resolves after so many rounds of the child's work from now on. */
  function moreRounds(child, count) {
    const before = child.round;
    return message(child, ({ round }) => (round > before + count ? round : undefined));
  }

  /** Resolves to the match of what a process prints to stderr. */
  function printedBy(command, pattern) {
    return new Promise((resolve) => {
      let printed = '';
      command.stderr.on('data', (text) => {
        printed += text;
        const match = pattern.exec(printed);
        if (match !== null) resolve(match);
      });
    });
  }

  async function stateOf(child) {
    const answer = message(child, ({ state }) => state);
    child.send('state');
    return answer;
  }

  const attach = (child, args = []) =>
    cli(['attach', String(child.pid), '--out', directory, ...args]);

  function takeProfile() {
    const [file, ...others] = readdirSync(directory);
    assert.deepEqual(others, []);
    const bytes = readFileSync(path.join(directory, file));
    rmSync(path.join(directory, file));
    return { file, profile: readProfile(bytes) };
  }

  it('labels the spans of a traced program until Ctrl-C, and leaves it as it was, also with a live view', async function () {
    const child = start(process.execPath, [ANY_PORT, TARGET]);
    await message(child, ({ round }) => round);
    const before = await stateOf(child);
    const pages = [];
    for (const live of [false, true]) {
      const rounds = live ? 1 : 15;
      const option = live ? ['--serve'] : ['--seconds', '60'];
      const { code, stderr } = await cli(
        [
          'attach',
          String(child.pid),
          '--out',
          directory,
          '--interval',
          '1000',
          '--clock',
          'precise',
          ...option,
        ],
        {
          onSpawn: async (command) => {
            const [, page] = await printedBy(command, live ? /live view: (\S+)/ : /profiling/);
            if (live) pages.push(await (await fetch(page)).text());
            await moreRounds(child, rounds);
            command.kill('SIGINT');
          },
        },
      );
      assert.equal(code, 0, stderr);
      assert.match(
        stderr,
        /profiling attach-target\.mjs, Node\.js [\d.]+( for 60 s)?; Ctrl-C ends it/,
      );
      const { file, profile } = takeProfile();
      assert.equal(file, `attach-target-${child.pid}.cpu.pb.gz`);

      if (!live) {
        checkProfile(profile);
        assert.match(stderr, /^ +[\d.]+ m?s +[\d.]+% {2}GET \/dear$/m);
      }
      assert.deepEqual(await stateOf(child), before);
    }
    assert.equal(pages.length, 1);
    assert.match(pages[0], /^<!doctype html>/i);
    assert.match(
      child.printed,
      /^(Debugger (listening|attached|ending).*\n|For help, see: .*\n)*$/,
    );
  });

  it('profiles an endless loop in CommonJS, without OpenTelemetry', async function () {
    const hot = 'process.send({ round: 0 }); (function hot() { for (;;); })()';
    const child = start(process.execPath, [ANY_PORT, '-e', hot]);
    await message(child, ({ round }) => round);
    const { code, stderr } = await attach(child, ['--seconds', '1']);
    assert.equal(code, 0, stderr);
    assert.match(stderr, /profiling node, Node\.js [\d.]+, without OpenTelemetry for 1 s/);
    const [, port] = /listening on ws:\/\/127\.0\.0\.1:(\d+)/.exec(child.printed);
    await assert.rejects(once(connect(Number(port), '127.0.0.1'), 'connect'), {
      code: 'ECONNREFUSED',
    });
    const { profile } = takeProfile();
    assert.ok(profile.sampledShare('hot') > 0.9);
  });

  it('has the profile of a program that ends meanwhile, which ends as without it', async function () {
    for (const end of ['process.exit(3)', 'process.exitCode = 3; clearInterval(timer)']) {
      const program = `
        process.on('exit', () => console.log('last words'));
        let round = 0;
        function hot() {
          // The sum is exact; "user" alone grows with the kernel's tick, when samples are taken too.
          const cpu = () => process.cpuUsage().user + process.cpuUsage().system;
          const end = cpu() + 10_000;
          while (cpu() < end);
          if (process.connected) process.send({ round: round++ });
        }
        const timer = setInterval(hot, 15);
        process.on('message', () => { process.disconnect(); ${end}; });`;
      const child = start(process.execPath, [ANY_PORT, '-e', program]);
      const ended = once(child, 'exit');
      await message(child, ({ round }) => round);
      const { code, stderr } = await cli(
        ['attach', String(child.pid), '--out', path.join(directory, 'ended.pb.gz')],
        {
          onSpawn: async (command) => {
            await printedBy(command, /profiling/);
            await moreRounds(child, 20);
            child.send('end');
          },
        },
      );
      assert.equal(code, 0, stderr);
      assert.deepEqual(await ended, [3, null]);
      assert.match(child.printed, /^last words$/m);
      const { file, profile } = takeProfile();
      assert.equal(file, 'ended.pb.gz');
      assert.ok(profile.sampledShare('hot') > 0.5);
    }
  });

  it('refuses other processes in one sentence, and does not touch them', async function () {
    const idle = 'setInterval(() => {}, 1_000); process.send({ round: 0 })';
    const node = (flags, code = idle) => start(process.execPath, [...flags, ANY_PORT, '-e', code]);
    const knows = (flag) => process.allowedNodeEnvironmentFlags.has(flag);
    const permission = knows('--permission') ? '--permission' : '--experimental-permission';
    const plain = node([]);
    const stopped = node([]);
    const cases = [
      [node(['--no-addons']), /was started with --no-addons, so the sampler cannot be loaded/],
      [node([permission]), /runs under the permission model, which forbids /],
      [
        node([], `process.on('SIGUSR1', () => {}); ${idle}`),
        /has not opened its inspector within 3 s: it listens to SIGUSR1 itself, or /,
      ],
      [stopped, /is stopped \(SIGSTOP\)/],
    ];
    if (knows('--disable-sigusr1')) {
      cases.push([node(['--disable-sigusr1']), /was started with --disable-sigusr1, /]);
    }
    await Promise.all(
      [plain, ...cases.map(([child]) => child)].map((child) =>
        message(child, ({ round }) => round),
      ),
    );
    stopped.kill('SIGSTOP');
    const thread = readdirSync(`/proc/${plain.pid}/task`).find((id) => id !== String(plain.pid));
    cases.push(
      [start('sleep', ['60']), /is not Node\.js, or a Node\.js without an inspector \(.*\)/],
      [{ pid: thread }, new RegExp(`is a thread of process ${plain.pid}: attach to that`)],
      [{ pid: 2 ** 31 - 2 }, /there is no process 2147483646/],
    );
    await Promise.all(
      cases.map(async ([child, sentence]) => {
        const { code, stderr } = await attach(child);
        assert.equal(code, 1, stderr);
        assert.match(stderr, new RegExp(`^otelpyroscope: [^\\n]*${sentence.source}[^\\n]*\\n$`));
      }),
    );
    for (const child of children) {
      assert.deepEqual([child.exitCode, child.signalCode, child.printed], [null, null, '']);
    }
    assert.deepEqual(readdirSync(directory), []);

    assert.match((await cli(['attach'])).stderr, /attach needs the PID of a process/);
    const { stderr } = await attach(plain, ['--span-name-scope', 'some']);
    assert.match(stderr, /--span-name-scope must be none, root or all, got "some"/);
  });
});
