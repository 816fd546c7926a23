/** Source maps are read as JSON.parse and another library read them, and texts as JavaScript has them. */

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { encode } from '@jridgewell/sourcemap-codec';
import {
  FlattenMap,
  GREATEST_LOWER_BOUND,
  LEAST_UPPER_BOUND,
  originalPositionFor,
} from '@jridgewell/trace-mapping';

const require = createRequire(import.meta.url);
const { CompiledText, findSourceMapUrl } = require('../../../lib/source-maps/compiled-text.js');
const { MappedFile } = require('../../../lib/source-maps/mapped-file.js');
const { atOnce } = require('../../../lib/util/time-slices.js');

const URL_OF_MAP = 'file:///app/dist/app.js.map';

/** Numbers that look random, and are the same in every run. */
function randomFrom(seed) {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

function read(json, text = '') {
  return atOnce(MappedFile.of(Buffer.from(json), URL_OF_MAP, Buffer.from(text)));
}

/** A map with mappings of all kinds: at one place, without an original, with and without a name. */
function randomMap(random, part = '') {
  const sources = Array.from({ length: 1 + random(4) }, (_, i) => `../src/${part}${i}.ts`);
  const names = Array.from({ length: 5 }, (_, i) => `name${part}${i}`);
  const lines = Array.from({ length: 1 + random(8) }, () => {
    let column = random(4);
    return Array.from({ length: random(12) }, () => {
      const segment = [column];
      if (random(8) > 0) segment.push(random(sources.length), random(100), random(100));
      if (segment.length === 4 && random(2) === 0) segment.push(random(names.length));
      column += random(4);
      return segment;
    });
  });
  return { version: 3, sources, names, mappings: encode(lines) };
}

function randomSections(random) {
  let line = random(2);
  let column = random(3);
  const sections = Array.from({ length: 1 + random(4) }, (_, i) => {
    const section = { offset: { line, column }, map: randomMap(random, `s${i}/`) };
    line += random(3);
    column += 1 + random(10);
    return section;
  });
  return { version: 3, sections };
}

describe('source maps', () => {
  it('are read as another library reads them, line by line and column by column', () => {
    const random = randomFrom(7);
    let found = 0;
    for (let i = 0; i < 300; i++) {
      const map = i % 3 === 0 ? randomSections(random) : randomMap(random);
      const other = new FlattenMap(structuredClone(map), URL_OF_MAP);
      const own = read(JSON.stringify(map));
      for (let line = 1; line < 16; line++) {
        for (let column = 0; column < 40; column++) {
          const expected = originalPositionFor(other, {
            line,
            column: Math.max(0, column - 1),
            bias: column === 0 ? LEAST_UPPER_BOUND : GREATEST_LOWER_BOUND,
          });
          const original = own.functionAt({ name: '', url: '', line, column });
          if (original !== undefined) found++;
          assert.deepEqual(
            [original?.url ?? null, original?.line ?? null, original?.column ?? null],
            [expected.source, expected.line, expected.column === null ? null : expected.column + 1],
            `${JSON.stringify(map)} at ${line}:${column}`,
          );
        }
      }
    }
    assert.ok(found > 10_000, `${found} places are mapped`);
  });

  it('are read whatever else is in the JSON, in any order and with any spaces', () => {
    const map = { names: ['a"\\\n\u00fc', 7, null], sources: [null, 'x/\u00fc".ts'] };
    const mappings = encode([[[0, 1, 2, 3, 0]]]);
    const cases = [
      JSON.stringify({ ...map, mappings }),
      JSON.stringify({ mappings, ...map }, undefined, '\t'),
      JSON.stringify({
        version: 3,
        x: [[], {}, [{ a: [1, '}]"\\'] }]],
        y: -1.5e3,
        ...map,
        mappings,
      }),
      // If two keys are equal, the last one counts.
      JSON.stringify({ ...map, mappings: 'AAAA' }).replace(/}$/, `,"mappings":"${mappings}"}`),
      JSON.stringify({ ...map, mappings }).replace('"mappings"', '"m\\u0061ppings"'),
      JSON.stringify({ sourcesContent: ['\\"'.repeat(50_000), '\\'], ...map, mappings }),
      `)]}' anything\n${JSON.stringify({ ...map, mappings })}\n`,
    ];
    for (const json of cases) {
      const text = 'function f(){}';
      const file = read(json, text);
      const found = file.functionAt({ name: 'f', url: '', line: 1, column: 1 });
      assert.deepEqual([found.url, found.line], ['file:///app/dist/x/%C3%BC%22.ts', 3], json);
    }
  });

  it('are read with escaped slashes, as some programs write them', () => {
    const mappings = encode([[[0, 0, 0, 0]], [[0, 0, 1_008, 0]]]);
    assert.match(mappings, /\//, 'without a slash this tests nothing');
    const json = JSON.stringify({ sources: ['a.ts'], mappings }).replaceAll('/', '\\/');
    assert.equal(read(json).functionAt({ name: '', url: '', line: 2, column: 1 }).line, 1_009);
  });

  it('are refused with a reason that has none of their content', () => {
    const good = { version: 3, sources: ['a.ts'], names: [], mappings: 'AAAA' };
    const json = JSON.stringify(good);
    const refused = {
      '': /no JSON/,
      '{': /no JSON/,
      secret: /no JSON/,
      '[]': /no JSON/,
      '{}': /no mappings/,
      '{"mappings":"A"': /no JSON/,
      '{"mappings":1}': /no JSON/,
      '{"mappings":"AAAA"}': /no sources/,
      '{"mappings":"","sources":"secret"}': /no JSON/,
      [`${json}secret`]: /no JSON/,
      [json.replace('}', ',}')]: /no JSON/,
      [json.replace('"names"', 'secret')]: /no JSON/,
      [json.replace(',', ' '.repeat(100_000))]: /no JSON/,
      [json.replace('[]', '['.repeat(40))]: /too deep/,
      [json.replace('[]', `[${'1'.repeat(5_000)}]`)]: /no JSON/,
      [json.replace('[]', `[${'1,'.repeat(500_000)}1]`)]: /too many/,
      [JSON.stringify({ sections: [{ map: { sections: [] }, offset: {} }] })]: /within sections/,
      [JSON.stringify({ sections: [{ offset: { line: 0, column: 0 } }] })]: /without a map/,
      [JSON.stringify({ sections: [{ offset: { line: -1 }, map: good }] })]: /no JSON/,
      [JSON.stringify({ sections: [1, 0].map((line) => ({ offset: { line }, map: good })) })]:
        /not in order/,
      [JSON.stringify({ sections: [{ offset: { line: 2_000_001 }, map: good }] })]: /more than/,
    };
    for (const [text, expected] of Object.entries(refused)) {
      const fails = () => read(text);
      assert.throws(fails, (error) => {
        assert.equal(error.constructor.name, 'SourceMapError');
        assert.match(error.message, expected, text.slice(0, 100));
        assert.doesNotMatch(error.message, /secret/);
        return true;
      });
    }
    for (const mappings of [
      'secret!',
      'A',
      'AA',
      'AAA',
      'AAAAAA',
      'D',
      'AAAD',
      'AADA',
      'ADAA',
      'AAAAD',
      'AAA\\n',
      'g',
      'ggggggggA',
      '+//////D',
      'CAAA,DAAA',
      'AAAA,AAA,AAAA',
    ]) {
      const text = json.replace('"AAAA"', `"${mappings}"`);
      if (mappings === 'A') assert.ok(read(text));
      else assert.throws(() => read(text), /broken|not in order/, mappings);
    }
  });

  it('are read with the most mappings allowed, and no more', () => {
    const withCount = (count) => `{"sources":["a"],"mappings":"${'AAAA,'.repeat(count)}"}`;
    const file = read(withCount(2_000_000));
    assert.ok(file.bytes < 64_000_000, `${file.bytes} bytes`);
    assert.throws(() => read(withCount(2_000_001)), /more than 2000000/);
  });
});

describe('the text of a compiled file', () => {
  const ALPHABET = ['a', 'é', '→', '😀', '\n', '\r\n', 'z'];

  it('has the same characters before a position as JavaScript', () => {
    const random = randomFrom(3);
    for (let i = 0; i < 30; i++) {
      const text = Array.from(
        { length: random(3_000) },
        () => ALPHABET[random(ALPHABET.length)],
      ).join('');
      const compiled = atOnce(CompiledText.of(Buffer.from(text)));
      const lines = text.split('\n');
      for (let j = 0; j < 200; j++) {
        const line = random(lines.length);
        const column = random(lines[line].length + 1);
        // Half of a character has no bytes.
        const isHalf = /[\ud800-\udbff]$/.test(lines[line].slice(0, column));
        if (isHalf) continue;
        const expected = lines[line].slice(Math.max(0, column - 5), column);
        assert.equal(
          compiled.before(line, column, 5).replace(/^[\udc00-\udfff]/, ''),
          expected.replace(/^[\udc00-\udfff]/, ''),
        );
      }
    }
  });

  it('has no positions beyond its lines', () => {
    const compiled = atOnce(CompiledText.of(Buffer.from('ab\ncd')));
    assert.equal(compiled.before(0, 2, 9), 'ab');
    assert.equal(compiled.before(1, 2, 9), 'cd');
    assert.equal(compiled.before(1, 3, 9), undefined);
    assert.equal(compiled.before(0, 9, 9), undefined);
    assert.equal(compiled.before(2, 0, 9), undefined);
    assert.equal(atOnce(CompiledText.of(Buffer.alloc(0))).before(0, 0, 9), '');
  });

  it('names its map at its end, wherever the searched pieces begin', () => {
    for (const before of [0, 1, 16_300, 16_384, 100_000]) {
      for (let after = 16_340; after < 16_400; after++) {
        const text = `${' '.repeat(before)}//# sourceMappingURL=a.map\n${' '.repeat(after)}`;
        const bytes = Buffer.from(text);
        const { begin, end } = atOnce(findSourceMapUrl(bytes));
        assert.equal(bytes.toString('utf8', begin, end), 'a.map');
      }
    }
  });
});
