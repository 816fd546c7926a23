/** Checks `otelpyroscope top`: its figures against those of `go tool pprof`, its text, and its errors. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import { Profile } from 'pprof-format';
import { amount } from '../../../lib/cli/text.js';
import { topTable } from '../../../lib/cli/top.js';
import { allOf, topOf } from '../../../lib/profile/query.js';
import { readProfile } from '../../../lib/profile/reader.js';
import { VERSION } from '../../../lib/util/version.js';
import { makeProfile, shopProfile, traceId } from '../../support/make-profile.mjs';
import { runCode } from '../../support/run-child.mjs';
import { needsGlibc, needsProgram } from '../../support/needs.mjs';
import { CLI, cli } from './cli.mjs';

const run = promisify(execFile);

const BURN = `
  function burn(millis) {
    const begin = process.cpuUsage();
    let sum = 0;
    for (let used = 0; used < millis * 1_000; ) {
      for (let i = 0; i < 20_000; i++) sum += Math.sqrt(i % 7);
      JSON.parse(JSON.stringify({ sum, list: Array.from({ length: 500 }, String) }));
      const { user, system } = process.cpuUsage(begin);
      used = user + system;
    }
  }`;

const OURS = `${BURN}
  const { CpuProfiler, withLabels } = require('otelpyroscope');
  const profiler = new CpuProfiler({ intervalMicros: 1_000 });
  profiler.start();
  withLabels({ part: 'one' }, () => burn(150));
  withLabels({ part: 'two' }, () => burn(100));
  profiler.stop().then((bytes) => require('node:fs').writeFileSync(process.env.OUT, bytes));`;

const DATADOGS = `${BURN}
  const { time, encode } = require('@datadog/pprof');
  time.start({ intervalMicros: 1_000, durationMillis: 60_000, lineNumbers: true });
  burn(200);
  encode(time.stop()).then((bytes) => {
    require('node:fs').writeFileSync(process.env.OUT, bytes);
  });`;

describe('otelpyroscope top', function () {
  this.timeout(120_000);
  let directory;
  let shop;

  before(function () {
    directory = mkdtempSync(path.join(os.tmpdir(), 'top-'));
    shop = path.join(directory, 'shop.pb.gz');
    writeFileSync(shop, shopProfile());
  });

  after(function () {
    rmSync(directory, { recursive: true });
  });

  const text = async (...args) => {
    const { code, stdout, stderr } = await cli(['top', ...args]);
    assert.equal(code, 0, stderr);
    return stdout;
  };

  it('shows flat and cumulative CPU, without colours in a pipe', async function () {
    const shown = await text(shop, '--limit', '3');
    assert.match(shown, /^shop\.pb\.gz: 3\.14 s of cpu in 52 stacks\n/);
    assert.match(shown, /\n {7}1 s +31\.8% +1 s +31\.8% {2}renderCart \/app\/cart\.js\n/);
    assert.match(shown, /\n… and 4 more/);
    // eslint-disable-next-line no-control-regex
    assert.doesNotMatch(shown, /\x1b/);
  });

  it('fits the columns of a terminal, and cuts nothing in a pipe', async function () {
    const name = 'a'.repeat(100);
    const file = path.join(directory, 'wide.pb.gz');
    const labels = { trace_id: traceId(1), span_name: `GET /${name}` };
    writeFileSync(
      file,
      makeProfile([{ stack: [`${name} /app/${name}.js:7`], nanos: 1e7, labels }]),
    );
    assert.match(await text(file), new RegExp(` ${name} /app/${name}.js\\n`));
    assert.match(await text(file, '--traces'), new RegExp(` GET /${name}\\n`));
    const profile = await readProfile(readFileSync(file));
    const rows = topOf(profile, allOf(profile), 'function');
    for (const width of [80, 120]) {
      const lines = topTable(profile, rows, 1e7, { by: 'function', colours: false, width });
      const columns = lines.split('\n').map((line) => [...line].length);
      assert.equal(Math.max(...columns), width);
    }
  });

  it('tells functions without a name apart by the line where they start', async function () {
    const file = path.join(directory, 'anonymous.pb.gz');
    const decoded = Profile.decode(gunzipSync(shopProfile()));
    for (const [index, made] of decoded.function.entries()) {
      Object.assign(made, { name: decoded.stringTable.dedup('(anonymous)'), startLine: index + 1 });
    }
    writeFileSync(file, gzipSync(decoded.encode()));
    const { rows } = JSON.parse(await text(file, '--json'));
    assert.equal(rows.length, decoded.function.length);
    assert.ok(rows.every(({ name }) => /^\(anonymous:\d+\)$/.test(name)));
  });

  it('sorts by flat or by cumulative CPU', async function () {
    for (const sort of ['flat', 'cum']) {
      const { rows } = JSON.parse(await text(shop, '--json', '--sort', sort));
      const values = rows.map((row) => row[sort]);
      assert.deepEqual(
        values,
        [...values].sort((a, b) => b - a),
        sort,
      );
    }
    const first = async (...args) => JSON.parse(await text(shop, '--json', ...args)).rows[0].name;
    assert.notEqual(await first('--sort', 'flat'), await first('--sort', 'cum'));
  });

  it('sums by line, by span name and by any label', async function () {
    assert.match(await text(shop, '--by', 'line'), /slowTaxTable \/app\/tax\.js:12\n/);
    assert.match(await text(shop, '--by=span_name'), /2\.50 s +79\.6% {2}GET \/cart\n/);
    assert.match(await text(shop, '--by=trace_id'), new RegExp(`980 ms .*  ${traceId(7)}\n`));
  });

  it('sums traces by span name: how many, and the CPU of one', async function () {
    const shown = await text(shop, '--traces', '--limit', '2');
    assert.deepEqual(shown.split('\n').slice(2), [
      '      CPU   CPU%  traces   median     95th     most  span_name',
      '   2.50 s  79.6%      20    80 ms    80 ms   980 ms  GET /cart',
      '   600 ms  19.1%      10    60 ms    60 ms    60 ms  GET /stock',
      '… and 1 more (--limit)',
      '',
    ]);
    const focus = ['--focus', 'span_name=', '--limit', '1'];
    assert.match(await text(shop, '--traces', ...focus), / {7}0 {8}– {8}– {8}– {2}\(none\)\n/);
    const { total, by, rows } = JSON.parse(await text(shop, '--traces', '--json'));
    assert.deepEqual([total, by, rows.length], [3140e6, 'span_name', 3]);
    assert.deepEqual(rows[0], {
      ...{ spanName: 'GET /cart', total: 2500e6, traces: 20 },
      ...{ median: 80e6, p95: 80e6, most: 980e6, mostTraceId: traceId(7) },
    });
  });

  it('selects samples by several labels', async function () {
    const focused = ['--focus', 'span_name=GET /cart', '--focus', `trace_id!=${traceId(7)}`];
    const { total, rows, unit } = JSON.parse(await text(shop, '--json', ...focused));
    assert.deepEqual([total, unit], [19 * 80e6, 'nanoseconds']);
    assert.deepEqual(
      rows.map(({ name, flat }) => [name, flat / 19e6]),
      [
        ['renderCart', 50],
        ['sumPrices', 30],
        ['emit', 0],
        ['handleCart', 0],
      ],
    );
  });

  it('selects alternatives and by regular expressions', async function () {
    const total = async (...conditions) => {
      const args = conditions.flatMap((condition) => ['--focus', condition]);
      return JSON.parse(await text(shop, '--json', ...args)).total / 1e6;
    };
    assert.equal(await total('span_name=GET /cart', 'span_name=GET /stock'), 3_100);
    assert.equal(await total('span_name=~^GET'), 3_100);
    assert.equal(await total('span_name!~^GET'), 40);
    assert.equal(await total('span_name=~cart|stock', 'span_name!=GET /cart'), 600);
    assert.equal(await total(`trace_id=${traceId(7)}`, 'span_name=~stock'), 0);
  });

  it('lets no name in a file control the terminal', async function () {
    const file = path.join(directory, 'hostile.pb.gz');
    const labels = { user: '\x1b[2Jclear\nline', span_name: '\x1b[2Jclear\nname' };
    writeFileSync(
      file,
      makeProfile([{ stack: ['\x1b]0;title\x07\u202eevil'], nanos: 1e7, labels }]),
    );
    for (const how of [['--by', 'function'], ['--by', 'user'], ['--traces']]) {
      // eslint-disable-next-line no-control-regex
      assert.doesNotMatch(await text(file, ...how), /[\x00-\x09\x0b-\x1f\x7f\u202e]/);
    }
  });

  it('treats a unit in a file as text', function () {
    for (const unit of ['constructor', '__proto__', 'toString', 'x']) {
      assert.equal(amount(1_500, { type: 'cpu', unit }), '1,500');
    }
    assert.equal(amount(1_500, { type: 'cpu', unit: 'microseconds' }), '1.50 ms');
    assert.equal(amount(1_536, { type: 'space', unit: 'bytes' }), '1.50 KiB');
  });

  it('reports errors, with exit code 2 for the usage and 1 for the file', async function () {
    const cases = [
      [['top'], 2, /needs a FILE/],
      [['top', shop, 'other'], 2, /one FILE only/],
      [['top', shop, '--wrong'], 2, /'--wrong'/],
      [['top', shop, '--limt', '3'], 2, /'--limt'; did you mean "limit"\?/],
      [['top', shop, '--sort', 'name'], 2, /--sort needs flat or cum, got "name"/],
      [['top', shop, '--focus', 'span_name=~('], 2, /--focus: Invalid regular expression/],
      [['top', shop, '--focus', 'user=x'], 1, /no sample has the label "user"; there are trace_id/],
      [['top', shop, '--by', 'user'], 1, /no sample has the label "user"; there are .*span_name/],
      [['top', shop, '--limit', 'x'], 2, /--limit needs a whole number.*"x"/],
      [['top', shop, '--focus', 'x'], 2, /--focus needs LABEL=VALUE, .*got "x"/],
      [['top', shop, '--by', 'line', '--traces'], 2, /either --by or --traces/],
      [['top', 'package.json'], 1, /package\.json is not a pprof profile.*JSON/],
      [['top', 'missing.pb.gz'], 1, /cannot read missing\.pb\.gz: there is no such file/],
      [['top', 'src'], 1, /cannot read src: it is a directory/],
      [['wrong'], 2, /no command "wrong"\nSee: otelpyroscope --help/],
      [['help', 'viw'], 2, /no command "viw"; did you mean "view"\?/],
      [[], 2, /Usage/],
    ];
    const ended = await Promise.all(cases.map(([args]) => cli(args)));
    ended.forEach(({ code, stdout, stderr }, index) => {
      const [args, expected, pattern] = cases[index];
      assert.equal(code, expected, `${args.join(' ')}: ${stderr}`);
      assert.match(stderr, pattern);
      assert.equal(stdout, '');
      assert.doesNotMatch(stderr, /\n {4}at /);
    });
    for (const args of [
      ['top', '--help'],
      ['help', 'top'],
    ]) {
      assert.match((await cli(args)).stdout, /^Usage: otelpyroscope top/);
    }
    assert.equal((await cli(['--version'])).stdout, `${VERSION}\n`);
  });

  it('says in a sentence that its output cannot be written', function () {
    const full = openSync('/dev/full', 'w');
    const stdio = ['ignore', full, 'pipe'];
    const { status, stderr } = spawnSync(process.execPath, [CLI, 'top', shop], { stdio });
    closeSync(full);
    assert.equal(status, 1);
    assert.match(String(stderr), /^otelpyroscope: the output could not be written: .*ENOSPC.*\n$/);
  });

  describe('beside go tool pprof', function () {
    before(function () {
      needsProgram('go', this);
    });

    /** Returns the rows that pprof prints, by "name file" or, by lines, "name file:line". */
    async function figures(file, granularity) {
      const all = ['-nodefraction=0', '-edgefraction=0', '-nodecount=1000000', '-unit=ns'];
      const args = ['tool', 'pprof', '-top', granularity, ...all, file];
      const { stdout } = await run('go', args, { maxBuffer: 64 << 20 });
      const row =
        /^ *(-?[\d.]+)(?:ns)? +[-\d.]+% +[-\d.]+% +(-?[\d.]+)(?:ns)? +[-\d.]+% {2}(.*)$/gm;
      const found = new Map();
      for (const [, flat, cum, name] of stdout.matchAll(row)) {
        found.set(name.replace(/ \((partial-)?inline\)$/, ''), [Number(flat), Number(cum)]);
      }
      return found;
    }

    async function compare(file) {
      for (const [by, granularity] of [
        ['function', '-filefunctions'],
        ['line', '-lines'],
      ]) {
        const expected = await figures(file, granularity);
        const { rows } = JSON.parse(await text(file, '--json', '--limit=1000000', '--by', by));
        const found = new Map(
          rows
            .filter(({ cum }) => cum !== 0)
            .map(({ name, file: path, line, flat, cum }) => [
              // pprof takes the parentheses for those of parameters.
              `${name.replaceAll('operator()', 'operator')} ${path}${line > 0 ? `:${line}` : ''}`.trimEnd(),
              [flat, cum],
            ]),
        );
        assert.ok(expected.size >= 5, `${by}: ${expected.size} rows of pprof`);
        // pprof takes all functions of a file that have no name for one, and has no name for a class's
        // <instance_members_initializer>.
        const isNamed = ([name]) => !/^(\(anonymous|<|\/)/.test(name);
        const sort = (map) => [...map].filter(isNamed).sort(([a], [b]) => (a < b ? -1 : 1));
        assert.deepEqual(sort(found), sort(expected), by);
      }
    }

    it('has the same figures for a profile of ours', async function () {
      const out = path.join(directory, 'ours.pb.gz');
      const { code, stderr } = await runCode(OURS, { env: { OUT: out } });
      assert.equal(code, 0, stderr);
      await compare(out);
    });

    it('has the same figures for a profile of Go', async function () {
      // Go's compiler profiles itself: no program needs to be built.
      const source = path.join(directory, 'work.go');
      const lines = Array.from(
        { length: 1_500 },
        (_, i) => `func F${i}(a, b int) int { if a > b { return a*${i} + b }; return F${i}(b, a) }`,
      );
      writeFileSync(source, `package work\n${lines.join('\n')}\n`);
      const out = path.join(directory, 'go.pb.gz');
      const args = ['tool', 'compile', '-cpuprofile', out, '-o', `${source}.o`, source];
      await run('go', args, { cwd: directory });
      await compare(out);
    });

    it('has the same figures for a profile of Datadog', async function () {
      needsGlibc('@datadog/pprof', this);
      const out = path.join(directory, 'datadog.pb.gz');
      const { code, stderr } = await runCode(DATADOGS, { env: { OUT: out } });
      assert.equal(code, 0, stderr);
      await compare(out);
    });
  });
});
