/** Checks that pprof files are read as they are, and that hostile ones are refused within bounds. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { callTree } from '../../../lib/profile/call-tree.js';
import { mergeProfiles } from '../../../lib/profile/model.js';
import {
  allOf,
  labelRows,
  parseFilter,
  select,
  topOf,
  totalOf,
} from '../../../lib/profile/query.js';
import { MAX_OF } from '../../../lib/profile/read-limits.js';
import { readProfile } from '../../../lib/profile/reader.js';
import { ProfileRing } from '../../../lib/viewer-server/profile-ring.js';
import { atOnce } from '../../../lib/util/time-slices.js';
import { field, message, minimal } from '../../support/make-message.mjs';
import { makeProfile, shopProfile, traceId } from '../../support/make-profile.mjs';
import { processMicros } from '../../support/thread-cpu.mjs';
import { runCode } from '../../support/run-child.mjs';

const MS = 1e6;
const MAX_STACK_DEPTH = MAX_OF['frames in one stack'];
const MAX_SAMPLE_LABELS = MAX_OF['labels of one sample'];

const refused = (bytes, pattern) =>
  assert.rejects(readProfile(bytes), (error) => {
    assert.equal(error.constructor.name, 'ProfileReadError', error.stack);
    assert.match(error.message, pattern);
    return true;
  });

describe('a profile that is read', function () {
  let profile;

  before(async function () {
    profile = await readProfile(shopProfile());
  });

  it('has self and total time by function', function () {
    const rows = topOf(profile, allOf(profile), 'function');
    const of = (name) => rows.find((row) => row.name === name);
    assert.equal(rows[0].name, 'renderCart');
    assert.deepEqual(of('sumPrices'), {
      ...{ name: 'sumPrices', file: '/app/cart.js', line: 0 },
      ...{ flat: 600 * MS, cum: 1500 * MS },
    });
    assert.equal(of('emit').cum, 3100 * MS);
    assert.equal(of('emit').flat, 0);
  });

  it('has self and total time by line and by label', function () {
    const lines = topOf(profile, allOf(profile), 'line').filter((row) => row.name === 'sumPrices');
    assert.deepEqual(
      lines.map(({ line, flat, cum }) => [line, flat / MS, cum / MS]),
      [
        [30, 600, 600],
        [31, 0, 900],
      ],
    );
    const names = topOf(profile, allOf(profile), 'span_name');
    assert.deepEqual(
      names.map(({ name, flat }) => [name, flat / MS]),
      [
        ['GET /cart', 2500],
        ['GET /stock', 600],
        ['', 40],
      ],
    );
  });

  it('counts a function that calls itself once per sample', async function () {
    const own = await readProfile(makeProfile([{ stack: ['f', 'g', 'f', 'f'], nanos: 5 * MS }]));
    const rows = topOf(own, allOf(own), 'function');
    assert.deepEqual(
      rows.map(({ name, flat, cum }) => [name, flat / MS, cum / MS]),
      [
        ['f', 5, 5],
        ['g', 0, 5],
      ],
    );
  });

  it('can be filtered by labels', function () {
    const total = (...filters) => totalOf(profile, select(profile, filters.map(parseFilter))) / MS;
    assert.equal(total('span_name=GET /stock'), 600);
    assert.equal(total('span_name!=GET /stock'), 2540);
    assert.equal(total('span_name='), 40);
    assert.equal(total('span_name=GET /cart', `trace_id=${traceId(7)}`), 980);
    assert.equal(total(`trace_id~${traceId(7)}`), 19 * 80);
    assert.equal(total('span_name=nothing'), 0);
    assert.equal(parseFilter('span_name'), undefined);
  });

  it('lists traces with the most expensive span name', function () {
    const [first, second] = labelRows(profile, allOf(profile), 'trace_id');
    assert.deepEqual(
      [first.value, first.total / MS, first.spanName],
      [traceId(7), 980, 'GET /cart'],
    );
    assert.equal(second.total / MS, 80);
  });

  it('is a tree from the root or the leaves, with nodes to zoom into', function () {
    const a = select(profile, [parseFilter(`trace_id=${traceId(7)}`)]);
    const path = (node) => [node.name, ...(node.children[0] ? path(node.children[0]) : [])];
    const tree = callTree(profile, { a });
    assert.deepEqual(path(tree), ['all', 'emit', 'handleCart', 'sumPrices', 'slowTaxTable']);
    const sumPrices = tree.children[0].children[0].children[0];
    assert.deepEqual([sumPrices.a / MS, sumPrices.selfA / MS], [930, 30]);
    assert.deepEqual(sumPrices.lines, [31, 30]);
    const inverse = callTree(profile, { a, inverse: true });
    assert.deepEqual(path(inverse), ['all', 'slowTaxTable', 'sumPrices', 'handleCart', 'emit']);
    const zoom = [tree.children[0].key, tree.children[0].children[0].key];
    const zoomed = callTree(profile, { a, zoom: [...zoom, sumPrices.key] });
    assert.deepEqual(path(zoomed), path(tree));
    assert.equal(zoomed.children[0].children[0].children.length, 1);
    assert.equal(callTree(profile, { a, zoom: ['nowhere'] }), undefined);
    const split = callTree(profile, { a: allOf(profile), split: 'span_name' });
    assert.deepEqual(
      split.children.map(({ name }) => name),
      ['GET /cart', 'GET /stock', '(none)'],
    );
  });

  it('is the sum of several windows', async function () {
    const double = atOnce(
      mergeProfiles(profile.valueType, [profile, await readProfile(shopProfile())]),
    );
    assert.equal(totalOf(double, allOf(double)), 2 * totalOf(profile, allOf(profile)));
    assert.equal(double.names.length, profile.names.length);
    assert.equal(double.labelSets.length, profile.labelSets.length);
    assert.deepEqual(
      topOf(double, allOf(double), 'function').map(({ name, cum }) => [name, cum / 2]),
      topOf(profile, allOf(profile), 'function').map(({ name, cum }) => [name, cum]),
    );
  });

  it('may have negative values, addresses without functions, and numbers as labels', async function () {
    const minusFive = Buffer.concat([Buffer.from([0xfb]), Buffer.alloc(8, 0xff), Buffer.from([1])]);
    const own = await readProfile(
      minimal(
        [4, message([1, 9], [3, 0xbeef])],
        [2, message([1, 9], [2, minusFive], [3, message([1, 1], [3, 16], [4, 2])])],
      ),
    );
    assert.deepEqual([...own.values], [-5]);
    assert.deepEqual(own.names, ['main', '0xbeef']);
    const ofKernel = Buffer.from([
      8, 1, 24, 0x80, 0x80, 0x80, 0x88, 0xf8, 0xff, 0xff, 0xff, 0xff, 1,
    ]);
    assert.equal((await readProfile(minimal([4, ofKernel]))).names[1], '0xffffffff81000000');
    assert.deepEqual([...own.labelSets[1]], [['cpu', '16 nanoseconds']]);
  });
});

describe('the ring of windows', function () {
  it('drops the oldest windows, by age and by size', function () {
    const ring = new ProfileRing(1_000, 100);
    const sizes = () => ring.windows.map(({ length }) => length);
    ring.add(new Uint8Array(30), 0);
    ring.add(new Uint8Array(31), 900);
    ring.add(new Uint8Array(32), 1_500);
    assert.deepEqual(sizes(), [31, 32]);
    assert.equal(ring.droppedWindows, 0);
    ring.add(new Uint8Array(50), 1_600);
    assert.deepEqual(sizes(), [32, 50]);
    assert.equal(ring.droppedWindows, 1);
    assert.equal(ring.byteLength, 82);
    ring.add(new Uint8Array(101), 1_700);
    assert.deepEqual(sizes(), []);
    assert.equal(ring.version, 5);
  });
});

describe('a file that is no profile', function () {
  this.timeout(60_000);

  it('is refused with the reason', async function () {
    await refused(Buffer.alloc(0), /empty/);
    await refused(Buffer.from('<!doctype html><p>Not found</p>'), /text/);
    await refused(Buffer.from('{"nodes":[]}'), /JSON/);
    await refused(Buffer.from([0x1f, 0x8b, 8, 0, 1, 2, 3]), /gzip/);
    await refused(message([6, '']), /no sample types/);
  });

  it('is refused if it is a profile cut or changed at any byte', async function () {
    const whole = gunzipSync(shopProfile());
    let read = 0;
    for (let length = 1; length < whole.length; length += 13) {
      await readProfile(whole.subarray(0, length)).then(
        () => read++,
        (error) => assert.equal(error.constructor.name, 'ProfileReadError', error.stack),
      );
    }
    // A cut between fields may leave a profile of nothing, or one without the last numbers.
    assert.ok(read < 20, `${read} cut profiles were taken`);
    let seed = 1;
    for (let round = 0; round < 400; round++) {
      const damaged = Buffer.from(whole);
      for (let i = 0; i < 4; i++) {
        seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
        damaged[(seed >>> 4) % damaged.length] = seed >>> 24;
      }
      await readProfile(damaged).catch((error) =>
        assert.equal(error.constructor.name, 'ProfileReadError', error.stack),
      );
    }
  });

  it('is refused if its parts do not fit together', async function () {
    const location = [4, message([1, 1], [4, message([1, 1], [2, 5])])];
    const good = minimal(location, [2, message([1, 1], [2, 7])]);
    assert.deepEqual([...(await readProfile(good)).values], [7]);
    await refused(minimal(location, [2, message([1, 2], [2, 7])]), /location is missing/);
    await refused(minimal([4, message([1, 1], [4, message([1, 2])])]), /function is missing/);
    await refused(minimal(location, [2, message([1, 1])]), /numbers of values/);
    await refused(minimal([2, message([2, Buffer.from([1, 2])])]), /one value for each/);
    await refused(minimal([5, message([1, 2], [2, 99])]), /string is missing/);
    await refused(minimal([9, '']), /wire type/);
    await refused(Buffer.concat([minimal(), Buffer.from([0x0b])]), /wire type/);
    await refused(Buffer.concat([minimal(), Buffer.alloc(20, 0xff)]), /more than 10 bytes/);
  });

  it('is refused when it unpacks to too much, in bounded memory', async function () {
    const directory = mkdtempSync(path.join(os.tmpdir(), 'bomb-'));
    try {
      const file = path.join(directory, 'bomb.pb.gz');
      // Members of gzip one after the other are one file: 32 GiB.
      const member = gzipSync(Buffer.alloc(64 << 20), { level: 9 });
      writeFileSync(file, Buffer.concat(Array.from({ length: 512 }, () => member)));
      const code = `
        process.on('exit', () => process.send(process.resourceUsage().maxRSS));
        process.argv.splice(1, 1, 'otelpyroscope', 'top', ${JSON.stringify(file)});
        require('./lib/cli/main.js');`;
      const { code: status, stderr, messages } = await runCode(code);
      assert.equal(status, 1);
      assert.match(stderr, /is not a pprof profile .* larger than 256 MiB/);
      assert.ok(messages[0] < 1_000_000, `${messages[0]} KiB`);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('is refused when few bytes stand for endless frames', async function () {
    const deep = Buffer.alloc(MAX_STACK_DEPTH + 2, 1);
    const one = [4, message([1, 1], [4, message([1, 1])])];
    await refused(minimal(one, [2, message([1, deep], [2, 1])]), /10000 frames in one stack/);
    const lines = Array.from({ length: 200 }, () => [4, message([1, 1])]);
    const wide = [4, message([1, 1], ...lines)];
    await refused(
      minimal(wide, [2, message([1, deep.subarray(0, 100)], [2, 1])]),
      /10000 frames in one stack/,
    );
    const labels = Array.from({ length: 300 }, () => [3, message([1, 1], [2, 1])]);
    await refused(minimal(one, [2, message([2, 1], ...labels)]), /256 labels/);
    await refused(minimal(one, [2, message([1, 1], [2, deep])]), /64 values of one sample/);
    const full = field(4, message([1, 1], ...Array.from({ length: 10_000 }, () => [4, ''])));
    const locations = Buffer.alloc(801 * full.length, full);
    await refused(Buffer.concat([minimal(), locations]), /8000000 lines/);
    const most = labels.slice(0, MAX_SAMPLE_LABELS).map(([number]) => [number, '']);
    const sample = field(2, message([2, 1], ...most));
    const samples = Buffer.alloc(
      Math.ceil(MAX_OF.labels / MAX_SAMPLE_LABELS + 1) * sample.length,
      sample,
    );
    await refused(Buffer.concat([minimal(one), samples]), /8000000 labels/);
  });

  /** Samples with as many labels as there may be, whose values are a text; the first is a number of its own. */
  const withLongLabels = (text, count, numberOf) => {
    const names = Array.from({ length: MAX_SAMPLE_LABELS }, (_, i) => [6, `label ${i}`]);
    const labels = names.slice(1).map((_, i) => [3, message([1, 6 + i], [2, 4])]);
    const one = [4, message([1, 1], [4, message([1, 1])])];
    return Buffer.concat([
      minimal([6, text], ...names, one),
      ...Array.from({ length: count }, (_, i) =>
        message([2, message([1, 1], [2, 1], [3, message([1, 5], [3, numberOf(i)])], ...labels)]),
      ),
    ]);
  };

  it('is refused when few bytes stand for endless labels', async function () {
    await refused(
      withLongLabels('x'.repeat(4_000), 1_000, (i) => i + 1),
      /134217728 characters of labels/,
    );
  });

  it('takes no longer if labels are long', async function () {
    const micros = async (text) => {
      const bytes = withLongLabels(text, 2_000, () => 1);
      const begin = processMicros();
      const { labelSets } = await readProfile(bytes);
      assert.equal(labelSets.length, 2);
      return processMicros() - begin;
    };
    await micros('short');
    const [short, long] = [await micros('short'), await micros('x'.repeat(4_000))];
    assert.ok(long < 4 * short + 50_000, `${long} µs, with short ones ${short} µs`);
  });

  it('takes memory proportional to its size, whatever its content', async function () {
    // Two bytes each: a decoder that makes an object of each would take a hundred times as much.
    const samples = Buffer.alloc(2 * 3_000_000, Buffer.from([0x12, 0x00]));
    await refused(Buffer.concat([minimal(), samples]), /numbers of values/);
    const functions = Buffer.alloc(2 * 3_000_000, Buffer.from([0x2a, 0x00]));
    await refused(Buffer.concat([minimal(), functions]), /2000000 functions/);
  });
});
