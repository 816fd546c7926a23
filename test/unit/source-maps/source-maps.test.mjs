/** Source maps: original names, files and lines; and whatever may be wrong with a map. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import {
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { encode } from '@jridgewell/sourcemap-codec';
import ts from 'typescript';

const require = createRequire(import.meta.url);
const { SourceMaps } = require('../../../lib/source-maps/source-maps.js');
const { findSourceMapUrl } = require('../../../lib/source-maps/compiled-text.js');
const { atOnce } = require('../../../lib/util/time-slices.js');

const SOURCE = `/**
 * A comment that is left out.
 */
interface Point { x: number; y: number }
type Points = Point[];

export function add(a: Point, b: Point): Point {
  return { x: a.x + b.x, y: a.y + b.y };
}

export class Sum {
  total(points: Points): Point {
    return points.reduce((a, b) => add(a, b));
  }
}
`;

/** A compiled line whose pieces are mapped to original places: [text, line, column, name]. */
function oneLine(pieces, { sources = ['src/app.ts'], ...more } = {}) {
  const names = [];
  const segments = [];
  let text = '';
  for (const [piece, line, column, name] of pieces) {
    if (line !== undefined) {
      const segment = [text.length, 0, line - 1, column];
      if (name !== undefined) segment.push(names.push(name) - 1);
      segments.push(segment);
    }
    text += piece;
  }
  return { text, map: { version: 3, sources, names, mappings: encode([segments]), ...more } };
}

function sourceMapUrl(text) {
  const bytes = Buffer.from(text);
  const found = atOnce(findSourceMapUrl(bytes));
  return found && bytes.toString('utf8', found.begin, found.end);
}

describe('source maps', () => {
  let directory;
  let maps;

  beforeEach(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'source-maps-'));
    maps = new SourceMaps(60_000);
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  const at = (name) => path.join(directory, name);
  const urlOf = (name) => pathToFileURL(at(name)).href;
  function write(name, text) {
    mkdirSync(path.dirname(at(name)), { recursive: true });
    writeFileSync(at(name), text);
  }

  /** The function whose parameters begin behind `before`, as V8 would tell it. */
  function functionIn(name, text, before, url = at('app.js')) {
    const offset = text.indexOf(before) + before.length;
    assert.ok(offset >= before.length, `${before} is not in the text`);
    const lines = text.slice(0, offset).split('\n');
    return { name, url, line: lines.length, column: lines.at(-1).length + 1 };
  }

  /** Writes a compiled file with a map beside it. */
  function writeMapped(text, map, name = 'app.js') {
    write(name, `${text}\n//# sourceMappingURL=${path.basename(name)}.map\n`);
    write(`${name}.map`, typeof map === 'string' ? map : JSON.stringify(map));
  }

  async function originalOf(compiled, loader = maps) {
    return (await loader.load([compiled.url])).functionAt(compiled);
  }

  async function assertUnmapped(compiled) {
    for (const originals of [
      await maps.load([compiled.url]),
      new SourceMaps().loadSync([compiled.url]),
    ]) {
      assert.equal(originals.functionAt(compiled), compiled);
      assert.equal(originals.lineAt(compiled, compiled.line, 0), undefined);
    }
  }

  describe('of TypeScript', () => {
    for (const kind of ['external', 'inline']) {
      it(`map functions and lines, with an ${kind} map`, async () => {
        const { outputText, sourceMapText } = ts.transpileModule(SOURCE, {
          fileName: 'src/points.ts',
          compilerOptions: {
            target: ts.ScriptTarget.ES2022,
            module: ts.ModuleKind.CommonJS,
            removeComments: true,
            sourceMap: kind === 'external',
            inlineSourceMap: kind === 'inline',
            inlineSources: true,
          },
        });
        write('src/points.js', outputText);
        if (sourceMapText !== undefined) write('src/points.js.map', sourceMapText);
        for (const url of [at('src/points.js'), urlOf('src/points.js')]) {
          const originals = await maps.load([url]);
          const add = functionIn('add', outputText, 'function add', url);
          const found = originals.functionAt(add);
          assert.deepEqual([found.name, found.url, found.line], ['add', urlOf('src/points.ts'), 7]);
          assert.notEqual(add.line, 7);
          assert.equal(originals.lineAt(add, add.line + 1, 0), 8);
          const total = functionIn('total', outputText, 'total', url);
          assert.equal(originals.functionAt(total).line, 12);
          assert.equal(originals.lineAt(total, total.line + 1, 0), 13);
        }
      });
    }
  });

  describe('of a bundle in one line', () => {
    const pieces = [
      ['function ', 3, 0],
      ['t', 3, 9, 'parseOrder'],
      ['(', 3, 19],
      ['n', 3, 20, 'text'],
      ['){return ', 4, 2],
      ['n', 4, 9, 'text'],
      ['}const ', 8, 0],
      ['e', 8, 6, 'priceOf'],
      ['=', 8, 14],
      ['n', 8, 16, 'order'],
      ['=>', 8, 16],
      ['n', 9, 2, 'order'],
      [';var o={', 11, 0],
      ['a', 12, 2, 'total'],
      [':'],
      ['(n)=>n', 12, 9],
      ['},', 13, 0],
      ['r', 14, 0, 'chosen'],
      ['=o?o:', 14, 9],
      ['(i)=>i', 14, 20],
    ];

    it('map names that they have, and the position of the function', async () => {
      const { text, map } = oneLine(pieces);
      writeMapped(text, map);
      const cases = [
        ['t', 'function t', 'parseOrder', 3],
        ['e', 'const e=', 'priceOf', 8],
        ['a', '{a:', 'total', 12],
        // Named after its variable, but not written next to it.
        ['r', 'r=o?o:', 'r', 14],
        ['get a', 'function t', 'get a', 3],
        ['', 'const e=', '', 8],
      ];
      for (const [name, before, original, line] of cases) {
        const found = await originalOf(functionIn(name, text, before));
        assert.deepEqual([found.name, found.line], [original, line]);
        assert.equal(found.url, urlOf('src/app.ts'));
      }
    });

    it('use the line of the function if only the line is known, else the exact one', async () => {
      const { text, map } = oneLine(pieces);
      writeMapped(text, map);
      const parse = functionIn('t', text, 'function t');
      const originals = await maps.load([parse.url]);
      assert.equal(originals.lineAt(parse, 1, 0), 3);
      assert.equal(originals.lineAt(parse, 1, text.indexOf('return') + 1), 4);
    });

    it('never use a line of another file', async () => {
      const { text, map } = oneLine(pieces);
      map.sources.push('src/other.ts');
      map.mappings += `;${encode([[[0, 1, 76, 0]]])}`;
      writeMapped(`${text}\nfoo()`, map);
      const parse = functionIn('t', text, 'function t');
      assert.equal((await maps.load([parse.url])).lineAt(parse, 2, 0), 3);
    });

    it('map nothing without a position', async () => {
      const { text, map } = oneLine(pieces);
      writeMapped(text, map);
      await assertUnmapped({ name: 't', url: at('app.js'), line: 0, column: 0 });
      await assertUnmapped({ name: 't', url: at('app.js'), line: 99, column: 1 });
    });
  });

  it('have sources relative to the map, with sourceRoot, and keep schemes of bundlers', async () => {
    const pieces = [['function f(){}', 7, 0]];
    const cases = [
      [{ sources: ['../src/a.ts'] }, urlOf('dist/src/a.ts')],
      [{ sources: ['a.ts'], sourceRoot: '../lib' }, urlOf('dist/lib/a.ts')],
      [{ sources: ['a.ts'], sourceRoot: '/root/' }, 'file:///root/a.ts'],
      [{ sources: ['webpack://app/./src/a.ts'] }, 'webpack://app/./src/a.ts'],
      [{ sources: ['webpack:///src/a.ts?1234'] }, 'webpack:///src/a.ts?1234'],
      [{ sources: ['file:///somewhere/a.ts'] }, 'file:///somewhere/a.ts'],
    ];
    for (const [options, expected] of cases) {
      const { text, map } = oneLine(pieces, options);
      write('dist/app.js', `${text}\n//# sourceMappingURL=maps/app.js.map`);
      write('dist/maps/app.js.map', `)]}'\n${JSON.stringify(map)}`);
      const compiled = functionIn('f', text, 'function f', at('dist/app.js'));
      const found = await originalOf(compiled, new SourceMaps(60_000));
      assert.deepEqual([found.url, found.line], [expected, 7]);
    }
  });

  it('may have sections', async () => {
    const { text, map } = oneLine([['function f(){}', 7, 0]]);
    const sections = [
      { offset: { line: 0, column: 0 }, map },
      { offset: { line: 1, column: 0 }, map: { ...map, sources: ['src/second.ts'] } },
    ];
    writeMapped(`${text}\n${text}`, { version: 3, sections });
    const second = { name: 'f', url: at('app.js'), line: 2, column: 11 };
    assert.equal((await originalOf(second)).url, urlOf('src/second.ts'));
  });

  it('are found by the last comment, and not by text that only looks like one', () => {
    assert.equal(
      sourceMapUrl('x\n//# sourceMappingURL=a.map\n//# sourceMappingURL=b.map\n'),
      'b.map',
    );
    assert.equal(sourceMapUrl('x //@ sourceMappingURL=old.map'), 'old.map');
    assert.equal(sourceMapUrl('x /*# sourceMappingURL=css.map */'), 'css.map');
    assert.equal(
      sourceMapUrl('x\n//# sourceMappingURL=a.map\nf("sourceMappingURL=b.map")'),
      'a.map',
    );
    assert.equal(sourceMapUrl('"//# sourceMappingURL=" + x'), undefined);
    assert.equal(sourceMapUrl('//# sourceMappingURL='), undefined);
    assert.equal(sourceMapUrl(''), undefined);
    assert.equal(sourceMapUrl('sourceMappingURL=x '.repeat(10_000)), undefined);
  });

  describe('keep the compiled position if the map', () => {
    const { text, map } = oneLine([['function f(){}', 7, 0]]);
    const compiled = () => functionIn('f', text, 'function f');

    it('does not exist', async () => {
      write('app.js', `${text}\n//# sourceMappingURL=app.js.map\n`);
      await assertUnmapped(compiled());
    });

    it('is not named', async () => {
      write('app.js', text);
      await assertUnmapped(compiled());
    });

    const broken = {
      'is empty': '',
      'is cut': JSON.stringify(map).slice(0, -10),
      'is null': 'null',
      'is an array': '[]',
      'is a number': '7',
      'has no mappings': JSON.stringify({ ...map, mappings: undefined }),
      'has mappings that are numbers': JSON.stringify({ ...map, mappings: [[1, 2]] }),
      'has mappings of any bytes': JSON.stringify({ ...map, mappings: '\u0000!"§$%&/()=' }),
      'has no sources': JSON.stringify({ ...map, sources: undefined }),
      'has sources that are numbers': JSON.stringify({ ...map, sources: [{}] }),
      'has sources that are null': JSON.stringify({ ...map, sources: [null] }),
      'names sources that do not exist': JSON.stringify({ ...map, sources: [] }),
      'has broken sections': JSON.stringify({ version: 3, sections: [null, { map: 3 }] }),
      'is another version': JSON.stringify({ ...map, version: 2, mappings: 5 }),
      'has sections within sections without end': `${'{"sections":[{"map":'.repeat(50_000)}`,
      'has too many mappings': JSON.stringify({ ...map, mappings: ';'.repeat(2_000_001) }),
    };
    for (const [what, json] of Object.entries(broken)) {
      it(what, async () => {
        writeMapped(text, json);
        await assertUnmapped(compiled());
      });
    }

    it('is the compiled file itself', async () => {
      write('app.js', `${text}\n//# sourceMappingURL=app.js\n`);
      await assertUnmapped(compiled());
    });

    it('is a directory, a link to itself, a device, or on the net', async () => {
      mkdirSync(at('folder.map'));
      symlinkSync(at('loop.map'), at('loop.map'));
      for (const url of [
        'folder.map',
        'loop.map',
        '/dev/zero',
        'https://a.example/a.map',
        '%00',
        'data:,',
        'data:x',
        'data:,%',
      ]) {
        write('app.js', `${text}\n//# sourceMappingURL=${url}\n`);
        await assertUnmapped(compiled());
      }
    });

    it('or the file is huge', async () => {
      writeMapped(text, map);
      truncateSync(at('app.js.map'), 2 ** 40);
      await assertUnmapped(compiled());
      writeMapped(text, map);
      truncateSync(at('app.js'), 2 ** 40);
      await assertUnmapped(compiled());
    });

    it('would be of a URL that names no file', async () => {
      for (const url of [
        '',
        'node:fs',
        'evalmachine.<anonymous>',
        'relative.js',
        'file://host/x',
        'https://a.example/',
        at('nowhere.js'),
        directory,
      ]) {
        await assertUnmapped({ name: 'f', url, line: 1, column: 11 });
      }
    });
  });

  it('are read again if the file has changed, and only then', async () => {
    const first = oneLine([['function f(){}', 7, 0]]);
    writeMapped(first.text, first.map);
    const compiled = functionIn('f', first.text, 'function f');
    assert.equal((await originalOf(compiled)).line, 7);
    rmSync(at('app.js.map'));
    assert.equal((await originalOf(compiled)).line, 7);
    const second = oneLine([['function f(){}', 8, 0]]);
    writeMapped(second.text, second.map);
    utimesSync(at('app.js'), 1, 1);
    assert.equal((await originalOf(compiled)).line, 8);
    rmSync(at('app.js'));
    await assertUnmapped(compiled);
  });

  it('are kept in a bounded number', async () => {
    const { text, map } = oneLine([['function f(){}', 7, 0]]);
    // 12 MiB and more each, by the text alone: of 128 there is room for ten.
    const padding = ' '.repeat(12 * 1024 * 1024);
    const urls = [];
    for (let i = 0; i < 12; i++) {
      writeMapped(text + padding, map, `${i}.js`);
      urls.push(at(`${i}.js`));
    }
    const originals = await maps.load(urls);
    const mapped = urls.map(
      (url) => originals.functionAt({ name: 'f', url, line: 1, column: 11 }).line,
    );
    assert.deepEqual(mapped, [...Array(10).fill(7), 1, 1]);
    assert.equal(maps.skipped, 2);
    const later = await maps.load([urls[11]]);
    assert.equal(later.functionAt({ name: 'f', url: urls[11], line: 1, column: 11 }).line, 7);
  });

  describe('loaded synchronously at the end of the process', () => {
    const { text, map } = oneLine([['function f(){}', 7, 0]]);
    const lineOf = (originals, url) =>
      originals.functionAt({ name: 'f', url, line: 1, column: 11 }).line;

    it('give the same positions, also from maps in the cache', async () => {
      writeMapped(text, map);
      const url = at('app.js');
      assert.equal(lineOf(maps.loadSync([url]), url), 7);
      rmSync(at('app.js.map'));
      assert.equal(lineOf(await maps.load([url]), url), 7);
      const data = encodeURIComponent(JSON.stringify(map));
      write('inline.js', `${text}\n//# sourceMappingURL=data:,${data}`);
      const inline = at('inline.js');
      assert.equal(lineOf(maps.loadSync([inline]), inline), 7);
    });

    it('are read up to a number of bytes, and never in part', async () => {
      for (const name of ['first', 'second', 'third', 'last']) writeMapped(text, map, `${name}.js`);
      // The limit is 32 MiB: the third map and all later ones do not fit.
      truncateSync(at('first.js.map'), 15 << 20);
      truncateSync(at('second.js'), 15 << 20);
      truncateSync(at('third.js.map'), 3 << 20);
      const urls = ['first.js', 'second.js', 'third.js', 'last.js'].map(at);
      const originals = maps.loadSync(urls);
      assert.deepEqual(
        urls.map((url) => lineOf(originals, url)),
        [1, 7, 1, 1],
      );
      const later = maps.loadSync(urls.slice(3));
      assert.equal(lineOf(later, urls[3]), 7);
    });
  });

  it('come with code that was compiled in memory, and give no compiled line', async () => {
    const mapped = oneLine([['function ', 3, 0], ['f(){', 3, 9], ['g()', 5, 2], ['}']]);
    const dataUrl = (json) =>
      `data:application/json;base64,${Buffer.from(JSON.stringify(json)).toString('base64')}`;
    const texts = { 1: dataUrl(mapped.map), 2: dataUrl({ version: 3 }) };
    const asked = [];
    const loader = new SourceMaps(60_000, (number) => {
      asked.push(number);
      return number in texts
        ? { url: '/in/memory.ts', data: Buffer.from(texts[number]) }
        : undefined;
    });
    const f = { name: 'f', url: '/in/memory.ts', line: 1, column: 11 };
    const column = mapped.text.indexOf('g()') + 1;
    for (let i = 0; i < 2; i++) {
      const originals = await loader.load([f.url], [1, 2, 3]);
      const good = { ...f, sourceMap: 1 };
      assert.equal(originals.functionAt(good).url, 'file:///in/src/app.ts');
      assert.equal(originals.functionAt(good).line, 3);
      assert.equal(originals.lineAt(good, 1, column), 5);
      // Broken, and forgotten.
      for (const sourceMap of [2, 3]) {
        assert.equal(originals.functionAt({ ...f, sourceMap }).line, 0);
        assert.equal(originals.lineAt({ ...f, sourceMap }, 1, column), 0);
      }
      assert.equal(originals.functionAt(f).line, 1);
    }
    assert.deepEqual(asked, [1, 2, 3]);
    assert.equal(loader.skipped, 2);
  });

  it('come with code that is in a data: URL, or has none, if their sources have absolute paths', async () => {
    const urls = { '/src/app.ts': 'file:///src/app.ts', 'app.ts': 'eval:12345678' };
    for (const [written, expected] of Object.entries(urls)) {
      const { map } = oneLine([['function f(){}', 3, 0]], { sources: [written] });
      const data = Buffer.from(`data:application/json,${encodeURIComponent(JSON.stringify(map))}`);
      for (const url of ['data:text/javascript,f', '']) {
        const originals = await new SourceMaps(60_000, () => ({ url, data })).load([], [1]);
        const f = { name: 'f', url: 'eval:12345678', line: 1, column: 11, sourceMap: 1 };
        assert.equal(originals.functionAt(f).url, expected);
      }
    }
  });
});
