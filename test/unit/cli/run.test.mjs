/** Checks `otelpyroscope run`: the program is as without it, and its profile complete, whatever its end. */
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { transformSync } from 'esbuild';
import { readProfile } from '../../support/read-profile.mjs';
import { ROOT } from '../../support/run-child.mjs';
import { BURNT_NANOS, cli, fixture, LEAST_SHARE, run } from './cli.mjs';

const SHOP = path.join(ROOT, 'examples', 'zero-code', 'service.cjs');

describe('otelpyroscope run', function () {
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

  /** The profile, which has what was burnt, in a sane amount. */
  function profileOf({ stderr }, file = out) {
    assert.ok(existsSync(file), stderr);
    const profile = readProfile(readFileSync(file));
    const inBurn = profile.share('burn') * profile.totalNanos;
    assert.ok(inBurn > LEAST_SHARE * BURNT_NANOS, `${inBurn} ns\n${stderr}`);
    assert.ok(profile.totalNanos > 0.7 * BURNT_NANOS, `${profile.totalNanos} ns\n${stderr}`);
    return profile;
  }

  it('passes arguments, output and exit code through process.exit()', async function () {
    const ended = await run(['--out', out, fixture('ends.cjs'), 'exit', '--out', 'x', '--help']);
    assert.equal(ended.code, 42, ended.stderr);
    assert.equal(ended.stdout, '{"args":["--out","x","--help"]}\n');
    assert.match(ended.stderr, /^to stderr\n/);
    assert.match(ended.stderr, /CPU: .*\n.*Top functions\n.*\n.* burn /s);
    assert.match(ended.stderr, /otelpyroscope view /);
    profileOf(ended);
    assert.deepEqual(readdirSync(directory), ['cpu.pb.gz']);
  });

  it('writes the profile of a program that throws, or rejects', async function () {
    for (const [way, message] of [
      ['throws', /Error: thrown on purpose\n {4}at /],
      ['rejects', /Error: rejected on purpose\n {4}at /],
    ]) {
      const ended = await run(['--out', out, fixture('ends.cjs'), way]);
      assert.equal(ended.code, 1);
      assert.match(ended.stderr, message);
      profileOf(ended);
      rmSync(out);
    }
  });

  it('labels the spans of an ESM server, and is ended by SIGINT as the server is', async function () {
    const ended = await run(['--out', out, fixture('server.mjs')], {
      until: /answered (\w+)/,
      act: (child) => child.kill('SIGINT'),
    });
    assert.deepEqual([ended.code, ended.signal], [null, 'SIGINT'], ended.stderr);
    const profile = profileOf(ended);
    const trace = /answered (\w{32})/.exec(ended.stdout)[1];
    assert.ok(profile.nanosBy('trace_id').get(trace) > LEAST_SHARE * 200e6, ended.stderr);
    assert.ok(profile.nanosBy('span_name').get('GET /work') > LEAST_SHARE * 200e6);
    assert.match(
      ended.stderr,
      new RegExp(`By span name\n.*GET /work.*expensive traces\n.*${trace}`, 's'),
    );
  });

  it('shows the routes of a service with auto-instrumentation', async function () {
    const ended = await run(['--out', out, SHOP], {
      flags: ['--require', '@opentelemetry/auto-instrumentations-node/register'],
      env: {
        PORT: '0',
        OTEL_NODE_ENABLED_INSTRUMENTATIONS: 'http,express',
        OTEL_TRACES_EXPORTER: 'console',
        OTEL_METRICS_EXPORTER: 'none',
        OTEL_LOGS_EXPORTER: 'none',
      },
      until: /(http:\S+?)\/recommendations/,
      async act(child, [, url]) {
        for (let i = 0; i < 60; i++) {
          await (await fetch(`${url}/invoices/${i}`)).text();
          if (i % 20 === 0) await (await fetch(`${url}/recommendations?depth=50`)).text();
        }
        child.kill('SIGTERM');
      },
    });
    assert.equal(ended.code, 0, ended.stderr);
    const routes = ['GET /invoices/:id', 'GET /recommendations'];
    const { stdout } = await cli(['top', out, '--by', 'span_name']);
    for (const text of [ended.stderr, stdout]) {
      for (const route of routes) assert.ok(text.includes(`%  ${route}\n`), text);
      assert.doesNotMatch(text, /% {2}GET$/m);
    }
    const traces = JSON.parse((await cli(['top', out, '--traces', '--json'])).stdout);
    const named = traces.rows.filter(({ spanName }) => spanName !== '');
    assert.deepEqual(named.map(({ spanName }) => spanName).sort(), routes);
    const of = (route) => named.find(({ spanName }) => spanName === route);
    assert.equal(of(routes[1]).traces, 3);
    assert.ok(of(routes[0]).traces <= 60);
  });

  it('leaves signals to programs that handle them', async function () {
    const options = ['--out', out, '--span-name-scope', 'none'];
    const handled = await run([...options, fixture('server.mjs'), 'handles'], {
      env: { PYROSCOPE_OTEL_SPAN_ID_SCOPE: 'none' },
      until: /answered/,
      act: (child) => child.kill('SIGINT'),
    });
    assert.deepEqual([handled.code, handled.signal], [7, null], handled.stderr);
    const labels = new Set(profileOf(handled).samples.flatMap((each) => Object.keys(each.labels)));
    assert.deepEqual([...labels], ['trace_id']);
    rmSync(out);
    // The program counts listeners: none but its own may be there.
    const ended = await run(['--out', out, fixture('ends.cjs'), 'kills itself']);
    assert.deepEqual([ended.code, ended.signal], [null, 'SIGTERM'], ended.stderr);
    assert.equal(ended.stdout, 'cleaned up\n');
    profileOf(ended);
  });

  it('writes the profile before a signal ends the program as it would without', async function () {
    for (const signal of ['SIGQUIT', 'SIGUSR2']) {
      const ended = await run(['--out', out, fixture('ends.cjs'), 'waits'], {
        until: /waiting/,
        act: (child) => child.kill(signal),
      });
      assert.deepEqual([ended.code, ended.signal], [null, signal], ended.stderr);
      profileOf(ended);
      rmSync(out);
    }
    // Node.js listens to the signal itself.
    const reported = await run(['--out', out, fixture('ends.cjs'), 'waits'], {
      flags: ['--report-on-signal', `--report-directory=${directory}`, '--report-filename=report'],
      until: /waiting|Node.js report completed/,
      act: async (child) => {
        child.kill('SIGUSR2');
        const report = path.join(directory, 'report');
        while (!existsSync(report)) await new Promise((resolve) => setTimeout(resolve, 20));
        child.kill('SIGTERM');
      },
    });
    assert.equal(reported.signal, 'SIGTERM', reported.stderr);
    profileOf(reported);
  });

  it('keeps an earlier profile, and nothing else, where a new one cannot be written', async function () {
    writeFileSync(out, 'earlier');
    const ended = await run(['--out', out, fixture('ends.cjs'), 'has a full disk']);
    assert.equal(ended.code, 9, ended.stderr);
    assert.match(ended.stderr, /the profile is lost: ENOSPC.*\n.*there is no profile/);
    assert.deepEqual(readdirSync(directory), ['cpu.pb.gz']);
    assert.equal(readFileSync(out, 'utf8'), 'earlier');
  });

  it('ends, and obeys signals, where the program has stopped the clock', async function () {
    const ended = await run(['--out', out, fixture('ends.cjs'), 'stops the clock']);
    assert.equal(ended.code, 6, ended.stderr);
    profileOf(ended);
  });

  it('profiles workers, including those that still run', async function () {
    const ended = await run(['--out', out, fixture('ends.cjs'), 'workers']);
    assert.equal(ended.code, 0, ended.stderr);
    const threads = profileOf(ended).nanosBy('thread_name');
    const workers = [...threads].filter(([name]) => name !== undefined);
    const inWorkers = workers.reduce((sum, [, nanos]) => sum + nanos, 0);
    // By the whole process's CPU they stop after 300 ms in both together.
    assert.ok(inWorkers > LEAST_SHARE * 300e6, `${inWorkers} ns\n${ended.stderr}`);
    rmSync(out);
    const abandoned = await run(['--out', out, fixture('ends.cjs'), 'abandons']);
    assert.equal(abandoned.code, 5, abandoned.stderr);
    profileOf(abandoned);
  });

  it('passes standard input through', async function () {
    const ended = await run(['--out', out, fixture('ends.cjs'), 'stdin'], { input: 'a line\n' });
    assert.deepEqual([ended.code, ended.stdout], [0, 'a line\n'], ended.stderr);
  });

  it('finds commands in node_modules/.bin, such as the TypeScript compiler', async function () {
    writeFileSync(path.join(directory, 'wrong.ts'), 'export const a: number = "text";\n');
    const source = path.join(directory, 'wrong.ts');
    const args = ['tsc', '--noEmit', '--lib', 'es5', '--ignoreConfig', source];
    const ended = await run(['--out', out, ...args]);
    assert.equal(ended.code, 2, ended.stdout + ended.stderr);
    assert.match(ended.stdout, /error TS2322/);
    const profile = readProfile(readFileSync(out));
    const inCompiler = profile.nanos(({ stack }) =>
      stack.some(({ file }) => /typescript[\\/]lib[\\/]_?tsc\.js$/.test(file)),
    );
    assert.ok(inCompiler / profile.totalNanos > 0.3, ended.stderr);
  });

  if (process.features.typescript) {
    it('runs TypeScript if Node.js does, and writes into the current folder by default', async () => {
      mkdirSync(path.join(directory, 'sources'));
      const code = `import { burn } from ${JSON.stringify(fixture('burn.cjs'))};
        const millis: number = 150; console.log(typeof burn(millis));`;
      writeFileSync(path.join(directory, 'sources', 'main.mts'), code);
      const ended = await run(['sources/main.mts'], { cwd: directory });
      assert.deepEqual([ended.code, ended.stdout], [0, 'number\n'], ended.stderr);
      profileOf(ended, path.join(directory, 'main.cpu.pb.gz'));
    });
  }

  it('shows the original positions of a compiled program with --enable-source-maps', async function () {
    const source = `interface Work { millis: number }

      function work({ millis }: Work): void {
        require(${JSON.stringify(fixture('burn.cjs'))}).burn(millis);
      }
      work({ millis: 150 });
      process.exit(3);`;
    const { code, map } = transformSync(source, {
      loader: 'ts',
      sourcemap: 'external',
      sourcefile: 'work.ts',
    });
    const program = path.join(directory, 'work.cjs');
    writeFileSync(program, `${code}//# sourceMappingURL=work.cjs.map\n`);
    const placesOf = ({ samples }) => {
      // Where it calls, not where it begins: a sample may have hit that too.
      const calls = samples.filter(({ stack }) => stack.some(({ name }) => name === 'burn'));
      const places = calls
        .flatMap(({ stack }) => stack.filter(({ name }) => name === 'work'))
        .map(({ file, startLine, line }) => `${path.basename(file)}:${startLine}, ${line}`);
      return [...new Set(places)];
    };
    for (const [text, options, expected] of [
      [map, { nodeOptions: '--enable-source-maps' }, 'work.ts:3, 4'],
      [map, { flags: ['--enable-source-maps'] }, 'work.ts:3, 4'],
      [map, {}, 'work.cjs:1, 2'],
      [map.slice(0, -20), { nodeOptions: '--enable-source-maps' }, 'work.cjs:1, 2'],
    ]) {
      writeFileSync(`${program}.map`, text);
      const ended = await run(['--out', out, program], options);
      assert.equal(ended.code, 3, ended.stderr);
      assert.deepEqual(placesOf(profileOf(ended)), [expected]);
      rmSync(out);
    }
  });

  it('serves the live view while the program runs, and lets it end', async function () {
    let answers;
    const ended = await run(['--serve', '--out', out, fixture('server.mjs')], {
      until: /live view: (http:\S+)[^]*answered|answered[^]*live view: (http:\S+)/,
      async act(child, [, before, after]) {
        const url = before ?? after;
        const page = await fetch(url);
        // The first window is there after a second.
        let profile;
        do {
          profile = await (await fetch(`${url}api/profile`)).json();
        } while (profile.total === 0);
        answers = { page: await page.text(), profile };
        child.kill('SIGINT');
      },
    });
    assert.equal(ended.signal, 'SIGINT', ended.stderr);
    assert.match(answers.page, /<script type="module" src="viewer\.js">/);
    assert.equal(answers.profile.source.live, true);
    assert.equal(answers.profile.source.title, 'server.mjs');
    profileOf(ended);
    const short = await run(['--serve', '--out', out, fixture('ends.cjs'), 'exit']);
    assert.equal(short.code, 42, short.stderr);
  });

  it('reports wrong arguments before it runs anything', async function () {
    const script = path.join(directory, 'script.sh');
    writeFileSync(script, '#!/bin/sh\necho ran\n');
    const missing = path.join(directory, 'missing.js');
    for (const [args, expected, message] of [
      [[], 2, /run needs a program/],
      [['--interval', '5', 'x.js'], 2, /--interval needs a whole number from 1000 to 1000000/],
      [['--clock', 'fine', 'x.js'], 2, /--clock must be auto, perf, precise, tick, got "fine"/],
      [['--serv', 'x.js'], 2, /has an option --serv; did you mean "--serve"/],
      [['--span-name-scope', 'every', 'x.js'], 2, /--span-name-scope must be none, root or all/],
      [['--out', path.join(directory, 'no', 'file'), '-e', '1'], 1, /there is no such folder/],
      [[script], 126, /script\.sh is a script for \/bin\/sh, and not executable/],
      [[missing], 1, /there is no program .*missing\.js/],
      [['no-such-command'], 127, /there is no program "no-such-command"/],
    ]) {
      const { code, stdout, stderr } = await run(args, { cwd: directory });
      assert.deepEqual([code, stdout], [expected, ''], stderr);
      assert.match(stderr, message);
    }
    assert.deepEqual(readdirSync(directory), ['script.sh']);
  });
});
