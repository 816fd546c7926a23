/**
 * Checks a binary for musl without a Node for musl, which npm does not have: all that it wants is
 * there, and musl's own dynamic linker takes it.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { dynamicSymbols, missingSymbols, prebuilds } from '../../scripts/lib/prebuild.mjs';
import { muslSymbols } from '../../scripts/lib/zig.mjs';
import { publishedBinary } from './published.mjs';

const LINKER = '/lib/ld-musl-x86_64.so.1';
const prebuild = prebuilds.find(
  ({ arch, libc, abi }) => arch === 'x64' && libc === 'musl' && abi === '137',
);

describe('the binary for musl', function () {
  this.timeout(1_800_000);
  let directory;
  let binary;

  before(function () {
    directory = mkdtempSync(path.join(os.tmpdir(), 'musl-'));
    binary = publishedBinary(prebuild);
  });

  after(function () {
    rmSync(directory, { recursive: true });
  });

  /** A shared object that has these functions, which do nothing but call another. */
  function libraryOf(name, functions, called) {
    const source = path.join(directory, `${name}.s`);
    const library = path.join(directory, `${name}.so`);
    const body = called === undefined ? 'ret' : `jmp ${called}@PLT`;
    const lines = functions.map(
      (one) => `.globl ${one}\n.type ${one}, @function\n${one}: ${body}\n`,
    );
    writeFileSync(source, lines.join(''));
    execFileSync('c++', ['-shared', '-nostdlib', '-o', library, source]);
    return library;
  }

  /** Returns what musl's dynamic linker prints for the binary, beside a library loaded before. */
  function link(preloaded) {
    if (!existsSync(LINKER)) throw new Error('Install musl to try the binaries for it.');
    const args = ['--preload', preloaded, '--list', binary];
    const { status, stdout, stderr } = spawnSync(LINKER, args, { encoding: 'utf8' });
    return { status, said: stdout + stderr };
  }

  const wanted = () =>
    dynamicSymbols(binary)
      .filter(({ isImport }) => isImport)
      .map(({ name }) => name);

  it('imports no symbol that neither musl nor Node exports', function () {
    assert.ok(wanted().includes('timer_create') && wanted().includes('napi_create_object'));
    assert.deepEqual(missingSymbols(binary, prebuild), []);
    const other = libraryOf('other', ['other'], 'backtrace_symbols');
    assert.deepEqual(missingSymbols(other, prebuild), ['backtrace_symbols']);
  });

  it("is loaded by musl's dynamic linker, which finds all symbols except Node's", function () {
    const musl = new Set(muslSymbols());
    const ofNode = wanted().filter((name) => !musl.has(name));
    assert.ok(ofNode.length > 50);
    const whole = link(libraryOf('node', ofNode));
    assert.deepEqual(
      { status: whole.status, errors: /error/i.test(whole.said) },
      { status: 0, errors: false },
      whole.said,
    );
    // Its refusals are seen: one function less.
    const [lacking, ...rest] = ofNode.filter((name) => name.startsWith('napi_'));
    const refused = link(
      libraryOf(
        'less',
        ofNode.filter((name) => name !== lacking),
      ),
    );
    assert.ok(rest.length > 0);
    assert.notEqual(refused.status, 0);
    assert.match(refused.said, new RegExp(`${lacking}: symbol not found`));
  });
});
