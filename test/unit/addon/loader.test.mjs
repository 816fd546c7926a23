/** Checks what the loader reports where there are no profiles: other runtimes, and an unknown ABI. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const { findBinary, openNativeThread } = createRequire(import.meta.url)(
  '../../../lib/addon/loader.js',
);

describe('the loader of the binary', function () {
  const real = Object.getOwnPropertyDescriptor(process, 'versions');

  afterEach(function () {
    Object.defineProperty(process, 'versions', real);
  });

  function pretend(versions) {
    const value = { ...process.versions, ...versions };
    Object.defineProperty(process, 'versions', { ...real, value });
  }
  const open = () => openNativeThread('', () => {}, undefined);

  for (const [key, name] of [
    ['bun', 'Bun'],
    ['deno', 'Deno'],
    ['electron', 'Electron'],
  ]) {
    it(`reports that ${name} is not supported, before it looks for a binary`, function () {
      pretend({ [key]: '9.8.7' });
      assert.throws(open, {
        code: 'ERR_UNSUPPORTED_PLATFORM',
        message: `the CPU profiler does not support ${name} (this is ${name} 9.8.7), only Node.js; labels and spans work without it`,
      });
    });
  }

  it('names the command that compiles a binary for a Node.js of unknown ABI', function () {
    pretend({ modules: '999' });
    assert.throws(open, {
      code: 'ERR_NATIVE_MISSING',
      message:
        /^no native binary for Node \S+ \(ABI 999, (glibc|musl)\): \S+abi999\S+ does not exist\. .*: npx otelpyroscope build$/,
    });
    const { file, problems } = findBinary(undefined);
    assert.deepEqual({ file, problems: problems.length }, { file: undefined, problems: 1 });
  });
});
