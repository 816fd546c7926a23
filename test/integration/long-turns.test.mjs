/** No work on a profile or a source map has a long turn of the event loop, however much there is. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { CPU_PROFILE } from '../../lib/util/profile-types.js';
import { ProfileBuilder } from '../../lib/pprof/profile-builder.js';
import { mergeProfiles } from '../../lib/profile/model.js';
import { selectInSteps } from '../../lib/profile/query.js';
import { readProfile } from '../../lib/profile/reader.js';
import { traceRows } from '../../lib/profile/trace-rows.js';
import { atOnce, inSlices } from '../../lib/util/time-slices.js';
import { longestTurn } from '../support/longest-turn.mjs';

const require = createRequire(import.meta.url);
const { encodeOtlp } = require('../../lib/pyroscope/protocols/otlp-encoder.js');
const {
  DEFAULT_PROFILE_LIMITS,
  fitProfile,
  halveProfile,
} = require('../../lib/pyroscope/server-limits.js');
const { SourceMaps } = require('../../lib/source-maps/source-maps.js');

/** Such as a busy process has in one window. */
const SAMPLES = 20_000;
const DEPTH = 40;
const FUNCTIONS = 4_000;
const TIMES = { startNanos: 1n, durationNanos: 2n, periodNanos: 1e7 };

/** Merged: each sample has a stack and a label set of its own. */
function filledBuilder() {
  const builder = new ProfileBuilder(CPU_PROFILE);
  const stacks = new Uint32Array(SAMPLES * (3 + DEPTH));
  let random = 1;
  for (let sample = 0, at = 0; sample < SAMPLES; sample++) {
    stacks[at++] = 1 + (sample % 7);
    stacks[at++] = DEPTH;
    stacks[at++] = sample + 1;
    for (let i = 0; i < DEPTH; i++) {
      random = (Math.imul(random, 1_103_515_245) + 12_345) >>> 0;
      stacks[at++] = (random >>> 8) % FUNCTIONS;
    }
  }
  const hex = (id, length) => id.toString(16).padStart(length, '0');
  builder.add({
    names: Array.from({ length: FUNCTIONS }, (_, i) => [
      `function_${i}`,
      `/app/${i % 300}.js`,
    ]).flat(),
    startLines: new Uint32Array(FUNCTIONS),
    startColumns: new Uint32Array(FUNCTIONS),
    frames: Uint32Array.from({ length: 2 * FUNCTIONS }, (_, i) => i >> 1),
    stacks,
    labels: {
      get: (id) => ({ trace_id: hex(id, 32), span_id: hex(id, 16), route: `/${id % 50}` }),
    },
  });
  atOnce(builder.merge());
  return builder;
}

/** It had half of all CPU and more in one turn, or all of it. */
function assertShort({ turns, part, totalMs }) {
  assert.ok(part < 0.25, `${part.toFixed(2)} of ${totalMs.toFixed(0)} ms are in one turn`);
  assert.ok(turns > 10, `${turns} turns`);
}

describe('the event loop', function () {
  this.timeout(60_000);
  this.slow(10_000);

  describe('has no long turn while a profile', () => {
    let pprof;
    let gzipped;
    let profile;

    before(async () => {
      pprof = atOnce(filledBuilder().encode(TIMES));
      gzipped = gzipSync(pprof);
      profile = await readProfile(gzipped);
    });

    it('is encoded', async () => {
      const builder = filledBuilder();
      const encode = await longestTurn(() => inSlices(builder.encode(TIMES)));
      assert.equal(encode.result.length, pprof.length);
      assertShort(encode);
    });

    it('is converted to OTLP', async () => {
      assertShort(
        await longestTurn(() =>
          inSlices(encodeOtlp(CPU_PROFILE, pprof, { 'service.name': 'x' }, randomUUID())),
        ),
      );
    });

    it('is fitted to the limits of a server', async () => {
      const limits = { ...DEFAULT_PROFILE_LIMITS, labels: 1 };
      const fit = await longestTurn(() => fitProfile(gzipped, limits));
      assert.ok(fit.result.parts.length > 1);
      assert.ok(fit.result.trimmedSamples === 0);
      assertShort(fit);
    });

    it('is halved', async () => {
      const halve = await longestTurn(() => halveProfile(gzipped));
      assert.equal(halve.result.parts.length, 2);
      assertShort(halve);
    });

    it('is read', async () => {
      const read = await longestTurn(() => readProfile(gzipped));
      assert.equal(read.result.values.length, SAMPLES);
      assertShort(read);
    });

    it('is merged with others', async () => {
      const merge = await longestTurn(() =>
        inSlices(mergeProfiles(profile.valueType, [profile, profile])),
      );
      assert.equal(merge.result.values.length, 2 * SAMPLES);
      assertShort(merge);
    });

    it('is summed by span name and trace', async () => {
      const others = { label: 'trace_id', operator: '~', value: '1'.padStart(32, '0') };
      for (const filters of [[], [others]]) {
        const sum = await longestTurn(() =>
          inSlices(
            (function* () {
              const all = yield* selectInSteps(profile, filters);
              return yield* traceRows(profile, all);
            })(),
          ),
        );
        assert.equal(sum.result[0].traces, SAMPLES - filters.length);
        assertShort(sum);
      }
    });
  });

  describe('has no long turn while it reads', () => {
    let directory;
    const at = (name) => path.join(directory, name);

    before(() => {
      directory = mkdtempSync(path.join(tmpdir(), 'long-turns-'));
    });
    after(() => rmSync(directory, { recursive: true, force: true }));

    /** Reads the file's map anew, which must lead to the second line. */
    async function read(file) {
      const url = at(file);
      const load = await longestTurn(() => new SourceMaps(60_000).load([url]));
      assert.equal(load.result.functionAt({ name: 'f', url, line: 1, column: 11 }).line, 2);
      return load;
    }

    it('a source map with very many mappings', async () => {
      const line = `AACA,${Array(99).fill('CAAC').join()}`;
      const mappings = Array(10_000).fill(line).join(';');
      const map = { version: 3, sources: ['a.ts'], names: [], mappings };
      writeFileSync(at('a.js'), 'function f(){}\n//# sourceMappingURL=a.js.map');
      writeFileSync(at('a.js.map'), JSON.stringify(map));
      assertShort(await read('a.js'));
    });

    for (const kind of ['beside a large bundle', 'within it']) {
      it(`a large source map, ${kind}`, async () => {
        const content = 'const text = "x" + \'ü\';\n'.repeat(40_000);
        const map = {
          version: 3,
          sources: ['a.ts', 'b.ts'],
          sourcesContent: [content, content],
          names: Array.from({ length: 20_000 }, (_, i) => `name${i}`),
          mappings: `AACAA,${Array(100_000).fill('CAACC').join()}`,
        };
        const json = JSON.stringify(map);
        writeFileSync(at('b.js.map'), json);
        const url =
          kind === 'within it'
            ? `data:application/json;base64,${Buffer.from(json).toString('base64')}`
            : 'b.js.map';
        const text = 'function f(){}'.padEnd(6_000_000, 'abcdefg(hij){};');
        writeFileSync(at('b.js'), `${text}\n//# sourceMappingURL=${url}\n`);
        assertShort(await read('b.js'));
      });
    }
  });
});
