/** Profiles of compiled TypeScript speak of the original sources, where they are meant to. */

import assert from 'node:assert/strict';
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { encode } from '@jridgewell/sourcemap-codec';
import ts from 'typescript';
import { OTHER_THREADS } from '../support/read-profile.mjs';
import { messageOf, runNode } from '../support/run-child.mjs';

const fixture = fileURLToPath(new URL('fixtures/source-maps/burn.mjs', import.meta.url));

/** Long enough that V8 does not inline it. */
const BURN = 'x ^= x << 13; x ^= x >>> 17; x ^= x << 5;'.repeat(24);
const LINES = {
  leaf: 6,
  caller: 15,
};
const SOURCE = `interface Options {
  rounds: number;
}
type Result = number;

function leaf(options: Options): Result {
  let x = 2463534242;
  for (let i = 0; i < options.rounds; i++) {
    ${BURN}
  }
  return x;
}

export class Work { x = 1;
  caller(rounds: number): Result { let x = this.x;
    ${BURN}
    return x ^ leaf({ rounds });
  }
}

export const run = (rounds: number): Result => new Work().caller(rounds);
`;

/** The text after a minifier: one line, short names. */
function minified() {
  const pieces = [
    ['"use strict";'],
    ['function ', 6, 0],
    ['t', 6, 9, 'leaf'],
    ['(', 6, 13],
    ['n', 6, 14, 'options'],
    [`){let x=1;for(let i=0;i<n;i++){${BURN}}return x}`, 9, 4],
    ['class ', 14, 7],
    ['o', 14, 13, 'Work'],
    ['{'],
    ['c', 15, 2, 'caller'],
    ['(', 15, 8],
    ['n', 15, 9, 'rounds'],
    [`){let x=n;${BURN}return x^t(n)}}`, 17, 4],
    ['exports.run=n=>(new o).c(n);', 20, 13],
  ];
  const names = [];
  const segments = [];
  let text = '';
  for (const [piece, line, column, name] of pieces) {
    if (line !== undefined) {
      segments.push([text.length, 0, line - 1, column]);
      if (name !== undefined) segments.at(-1).push(names.push(name) - 1);
    }
    text += piece;
  }
  const map = { version: 3, sources: ['./work.ts'], names, mappings: encode([segments]) };
  return { text: `${text}\n//# sourceMappingURL=work.min.js.map`, map };
}

describe('profiles with source maps', function () {
  this.timeout(60_000);
  this.slow(20_000);

  let directory;
  const at = (name) => path.join(directory, name);

  before(() => {
    directory = realpathSync(mkdtempSync(path.join(tmpdir(), 'source-maps-')));
    for (const [name, module] of [
      ['work.js', ts.ModuleKind.CommonJS],
      ['work.mjs', ts.ModuleKind.ES2022],
    ]) {
      const { outputText, sourceMapText } = ts.transpileModule(SOURCE, {
        fileName: 'work.ts',
        compilerOptions: { target: ts.ScriptTarget.ES2022, module, sourceMap: true },
      });
      writeFileSync(at(name), outputText.replace('work.js.map', `${name}.map`));
      writeFileSync(at(`${name}.map`), sourceMapText);
    }
    const { text, map } = minified();
    writeFileSync(at('work.min.js'), text);
    writeFileSync(at('work.min.js.map'), JSON.stringify(map));
    writeFileSync(at('broken.js'), text.replace('work.min', 'broken'));
    writeFileSync(at('broken.js.map'), '{"version":3,');
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  const profileOf = (file, { flags = [], option } = {}) =>
    messageOf(
      runNode([...flags, fixture, at(file), ...(option === undefined ? [] : [String(option)])]),
    );

  /** All CPU of the thread but that of measuring is in `leaf`, called by `caller`. */
  function assertStacks(report, [leaf, caller], { file, lines }) {
    const stacks = report.stacks.filter(({ stack }) => stack[0].name !== OTHER_THREADS);
    const sum = (found) => found.reduce((total, { nanos }) => total + nanos, 0);
    const found = stacks.filter(({ stack }) => stack[0].name === leaf && stack[1]?.name === caller);
    const names = stacks.map(({ stack }) => stack.map(({ name }) => name).join(' < ')).join('\n');
    assert.ok(sum(found) > 0.5 * sum(stacks), names);
    for (const { stack } of found) {
      assert.deepEqual([stack[0].file, stack[1].file], [at(file), at(file)]);
      assert.deepEqual([stack[0].startLine, stack[1].startLine], lines);
      for (const frame of stack.slice(0, 2)) {
        assert.ok(frame.line >= frame.startLine && frame.line <= frame.startLine + 5);
      }
    }
  }

  const original = { file: 'work.ts', lines: [LINES.leaf, LINES.caller] };

  for (const [how, options] of Object.entries({
    'under --enable-source-maps': { flags: ['--enable-source-maps'] },
    'by the option': { option: true },
  })) {
    it(`have original files and lines ${how}`, async () => {
      for (const file of ['work.js', 'work.mjs']) {
        assertStacks(await profileOf(file, options), ['leaf', 'caller'], original);
      }
    });

    it(`have original names of a minified file ${how}`, async () => {
      const report = await profileOf('work.min.js', options);
      assertStacks(report, ['leaf', 'caller'], original);
      assert.ok(report.read.includes(at('work.min.js.map')), 'reads are not seen by this test');
      assert.deepEqual(report.readWhileSampling, []);
    });
  }

  it('are taken without reading a file if the option is missing or off', async () => {
    for (const options of [{}, { flags: ['--enable-source-maps'], option: false }]) {
      const report = await profileOf('work.min.js', options);
      assertStacks(report, ['t', 'c'], { file: 'work.min.js', lines: [1, 1] });
      assert.deepEqual(report.read, []);
    }
  });

  it('have the compiled position if the map is broken', async () => {
    const report = await profileOf('broken.js', { option: true });
    assertStacks(report, ['t', 'c'], { file: 'broken.js', lines: [1, 1] });
  });
});
