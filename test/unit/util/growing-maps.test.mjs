/** Lists and maps that grow in small steps have the same content as plain ones. */

import assert from 'node:assert/strict';
import { GrowingMap, IdMap } from '../../../lib/util/growing-maps.js';
import { float64Column, uint32Column } from '../../../lib/profile/model.js';
import { FieldList } from '../../../lib/pprof/field-list.js';
import { StringList } from '../../../lib/pprof/string-list.js';
import { atOnce } from '../../../lib/util/time-slices.js';

describe('a collection that grows in small steps', () => {
  it('can be a column of numbers, of any length', () => {
    for (const length of [0, 1, 64, 65, 65_535, 65_536, 65_537, 131_072, 200_000]) {
      for (const column of [uint32Column(), float64Column()]) {
        const expected = Array.from({ length }, (_, i) => (i * 7) % 1_000_003);
        for (const value of expected) column.push(value);
        assert.equal(column.length, length);
        for (const index of [0, 63, 64, 65_535, 65_536, length - 1]) {
          if (index >= 0 && index < length) assert.equal(column.at(index), expected[index]);
        }
        assert.deepEqual([...atOnce(column.take())], expected);
        assert.equal(column.length, 0);
        column.push(5);
        assert.deepEqual([...atOnce(column.take())], [5]);
      }
    }
  });

  it('can be a map, with any keys', () => {
    const map = new GrowingMap();
    const keys = Array.from({ length: 40_000 }, (_, i) => (i % 2 === 0 ? `key${i}` : { i }));
    keys.forEach((key, i) => map.add(key, i));
    keys.forEach((key, i) => assert.equal(map.get(key), i));
    assert.equal(map.get('key1'), undefined);
  });

  it('can be a map by ids, where the last of two values replaces the first', () => {
    const map = new IdMap();
    const ids = [0, 1, -1, 255, 256, 2 ** 31, 2 ** 32, 2 ** 32 + 256, 2 ** 53, -(2 ** 63)];
    ids.forEach((id, i) => map.set(id, i));
    ids.forEach((id, i) => assert.equal(map.get(id), i));
    map.set(256, 99);
    assert.equal(map.get(256), 99);
    assert.equal(map.get(2), undefined);
  });

  it('can be a table of strings, and of bytes', () => {
    const strings = new StringList(6);
    const texts = ['', 'a', 'ü→😀', 'x'.repeat(50_000), 'y'.repeat(127), 'z'.repeat(16_378)];
    assert.deepEqual(
      [...texts, ...texts].map((text) => strings.dedup(text)),
      [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5],
    );
    const encoded = (text) => {
      const bytes = Buffer.from(text);
      const length = [];
      for (let left = bytes.length; ; left >>>= 7) {
        length.push(left > 0x7f ? (left & 0x7f) | 0x80 : left);
        if (left <= 0x7f) break;
      }
      return Buffer.concat([Buffer.from([0x32, ...length]), bytes]);
    };
    const expected = Buffer.concat(texts.map(encoded));
    assert.ok(Buffer.concat(strings.parts()).equals(expected));
    const list = new FieldList(6);
    for (const text of texts) list.addBytes(Buffer.from(text));
    assert.equal(list.length, texts.length);
    assert.ok(Buffer.concat(list.parts()).equals(expected));
  });
});
