/** Checks which dynamic linker is read from an executable, also one that was patched. */
import assert from 'node:assert/strict';
import {
  appendFileSync,
  copyFileSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';

const { dynamicLinkerOf } = createRequire(import.meta.url)('../../../lib/addon/dynamic-linker.js');

describe('the dynamic linker of an executable', function () {
  let directory;

  before(function () {
    directory = mkdtempSync(path.join(os.tmpdir(), 'linker-'));
  });

  after(function () {
    rmSync(directory, { recursive: true });
  });

  it('is the one that runs this Node.js', function () {
    const linker = dynamicLinkerOf(process.execPath);
    assert.match(linker, /^\/lib(64)?\/ld-/);
    // The kernel has mapped it.
    const mapped = readFileSync('/proc/self/maps', 'latin1');
    assert.ok(mapped.includes(realpathSync(linker)), linker);
  });

  it('is found where a patched executable has it: at the end of the file', function () {
    const file = path.join(directory, 'patched');
    copyFileSync('/bin/true', file);
    const bytes = readFileSync(file);
    const headers = Number(bytes.readBigUInt64LE(32));
    const header = Array.from(
      { length: bytes.readUInt16LE(56) },
      (_, index) => headers + index * bytes.readUInt16LE(54),
    ).find((position) => bytes.readUInt32LE(position) === 3);
    const musl = '/lib/ld-musl-x86_64.so.1\0';
    bytes.writeBigUInt64LE(BigInt(bytes.length), header + 8);
    bytes.writeBigUInt64LE(BigInt(musl.length), header + 32);
    writeFileSync(file, bytes);
    appendFileSync(file, musl);
    assert.equal(dynamicLinkerOf(file), musl.slice(0, -1));
  });

  it("is '' where there is none, and where the file cannot be read", function () {
    const script = path.join(directory, 'script');
    writeFileSync(script, '#!/bin/sh\n');
    assert.equal(dynamicLinkerOf(script), '');
    assert.equal(dynamicLinkerOf(directory), '');
    assert.equal(dynamicLinkerOf(path.join(directory, 'missing')), '');
    const truncated = path.join(directory, 'truncated');
    writeFileSync(truncated, readFileSync('/bin/true').subarray(0, 100));
    assert.equal(dynamicLinkerOf(truncated), '');
  });
});
