/** Checks which binaries of the cache folder are the user's own, and for which sources they are. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';

const { versionFolder, writableByOthers } = createRequire(import.meta.url)(
  '../../../lib/addon/binary-cache.js',
);

describe('the cache of compiled binaries', function () {
  let folder;
  let file;

  beforeEach(function () {
    // In /tmp, to which everybody can write, but where nobody can replace the files of others.
    folder = realpathSync(mkdtempSync(path.join(os.tmpdir(), 'cache-')));
    mkdirSync(path.join(folder, 'native', 'base'), { recursive: true });
    file = path.join(folder, 'native', 'base', 'a.h');
    writeFileSync(file, 'int a;');
  });

  afterEach(function () {
    rmSync(folder, { recursive: true });
  });

  it('is trusted if only this user can write to the file and to all folders above it', function () {
    assert.equal(writableByOthers(file), undefined);
    for (const [each, mode] of [
      [file, 0o602],
      [path.dirname(file), 0o770],
      [path.join(folder, 'native'), 0o707],
      [folder, 0o722],
    ]) {
      chmodSync(each, mode);
      assert.equal(writableByOthers(file), each);
      chmodSync(each, 0o700);
    }
    // The link is in a safe folder, but not the file that it leads to.
    const link = path.join(folder, 'link');
    symlinkSync(path.dirname(file), link);
    chmodSync(path.dirname(file), 0o777);
    assert.equal(writableByOthers(path.join(link, 'a.h')), path.dirname(file));
    assert.throws(() => writableByOthers(path.join(folder, 'missing')), { code: 'ENOENT' });
  });

  it('is not trusted if the file is of another user than this one and root', function () {
    // Root may give files away; otherwise, this process takes itself for another user.
    const { geteuid } = process;
    if (geteuid() === 0) chownSync(file, 65_534, 65_534);
    else process.geteuid = () => geteuid() + 1;
    try {
      assert.equal(writableByOthers(file), file);
    } finally {
      process.geteuid = geteuid;
    }
  });

  it('has a folder for each content of the sources', function () {
    const first = versionFolder('/caches', folder);
    assert.match(first, /^\/caches\/otelpyroscope\/\d+\.\d+\.\d+\S*-[0-9a-f]{16}$/);
    assert.equal(versionFolder('/caches', folder), first);
    writeFileSync(file, 'int b;');
    assert.notEqual(versionFolder('/caches', folder), first);
    assert.throws(() => versionFolder('/caches', path.join(folder, 'nowhere')));
  });
});
