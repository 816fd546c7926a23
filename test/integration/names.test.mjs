/** Everything that uses CPU has a name: native code, V8's own, regular expressions, WebAssembly. */

import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { messageOf, runNode } from '../support/run-child.mjs';

const fixture = fileURLToPath(new URL('fixtures/names/work.mjs', import.meta.url));
const modules = fileURLToPath(new URL('fixtures/names/wasm-modules.mjs', import.meta.url));
const oneTurn = fileURLToPath(new URL('fixtures/names/wasm-in-one-turn.mjs', import.meta.url));

/** Names that tell nothing. */
const NAMELESS = /^\((native code|native function|unresolved|truncated)\)$/;

/** Least share of the work's CPU whose innermost frame is called so. */
const EXPECTED = {
  pbkdf2: [/sha512|^SHA512|^EVP_|^OPENSSL|^node::crypto::/i, 0.5],
  readFile: [/read|open|stat|syscall|^node::|^libc\.|^ld-musl-|^v8::/i, 0.5],
  stat: [/^syscall$|stat|^node::|^v8::/i, 0.5],
  hash: [/sha256|^SHA256|^EVP_|^node::crypto::/i, 0.5],
  // musl has symbols of the functions that zlib calls, glibc has not.
  zlib: [/deflate|longest_match|fill_window|crc32|^node::|^libc\.|^mem(cpy|set)$|^munmap$/, 0.8],
  json: [/^v8::internal::/, 0.7],
  regexp: [/^\(regexp\) \/a\+\(b\|c\)\*d\$\/$/, 0.8],
  wasm: [/^wasm-function\[0\]$/, 0.8],
  namedWasm: [/^spin loop$/, 0.8],
  plain: [/^spin$/, 0.9],
  getter: [/^get area$/, 0.9],
  inferred: [/^holder\.inferred$/, 0.9],
  anonymous: [/^\(anonymous\)$/, 0.9],
};

/** Cases in which the file and the line of the function are known as well. */
const WITH_FILE = ['plain', 'getter', 'inferred', 'anonymous'];

describe('names of frames', function () {
  this.timeout(120_000);
  this.slow(60_000);

  let report;
  let metrics;
  const total = (stacks) => stacks.reduce((sum, { nanos }) => sum + nanos, 0);
  const share = (stacks, matches) =>
    total(stacks.filter(({ stack }) => matches(stack))) / total(stacks);
  /** The CPU of the work alone, without collecting and the garbage collector's. */
  const workOf = (name) => {
    const stacks = report[name].filter(({ stack }) => stack.some((frame) => frame.name === 'burn'));
    assert.ok(
      total(stacks) > 150e6,
      `${name}: ${total(stacks) / 1e6} ms of work sampled\n${listed(report[name])}`,
    );
    return stacks;
  };
  const listed = (stacks) =>
    stacks
      .sort((a, b) => b.nanos - a.nanos)
      .slice(0, 8)
      .map(({ stack, nanos }) => {
        const names = stack.slice(0, 4).map((frame) => frame.name);
        return `${((100 * nanos) / total(stacks)).toFixed(1)} % ${names.join(' < ')}`;
      })
      .join('\n');

  before(async () => {
    ({ report, metrics } = await messageOf(runNode([fixture], { timeoutMs: 100_000 })));
  });

  it('are known for at least 90 % of the CPU of every kind of work', () => {
    for (const name of Object.keys(report).filter((name) => name !== 'eventLoop')) {
      const stacks = workOf(name);
      const known = share(stacks, (stack) => !NAMELESS.test(stack[0].name));
      assert.ok(known >= 0.9, `${name}: ${known}\n${listed(stacks)}`);
    }
  });

  for (const [name, [expected, least]] of Object.entries(EXPECTED)) {
    it(`are the right ones: ${name}`, () => {
      const stacks = workOf(name);
      const found = share(stacks, (stack) => expected.test(stack[0].name));
      assert.ok(found >= least, `${found}\n${listed(stacks)}`);
      if (!WITH_FILE.includes(name)) return;
      for (const { stack } of stacks.filter(({ stack }) => expected.test(stack[0].name))) {
        assert.equal(stack[0].file, 'functions.js');
        assert.ok(stack[0].startLine > 0);
      }
    });
  }

  it('distinguish the event loop and what it runs', () => {
    const stacks = report.eventLoop;
    const loop = stacks.filter(({ stack }) => stack.at(-1).name === '(event loop)');
    assert.ok(total(loop) / total(stacks) > 0.05, listed(stacks));
    for (const { stack } of loop) assert.equal(stack.length, 2);
    const known = share(loop, (stack) => !NAMELESS.test(stack[0].name));
    assert.ok(known >= 0.9, `${known}\n${listed(loop)}`);
    assert.ok(loop.some(({ stack }) => /epoll|^uv_|^node::|^v8::/.test(stack[0].name)));
  });

  it('are readable', () => {
    for (const { stack } of Object.values(report).flat()) {
      for (const { name } of stack) {
        assert.doesNotMatch(name, /^_Z|^Builtins_|\(native function\)|^'|^[*+~^]/, name);
        const nameOnly = name.replace(/operator(?:\(\)|[<>=-]+)/g, 'operator'); // of a lambda
        assert.doesNotMatch(nameOnly, /^(node|v8)::.*[(<]/, name);
      }
    }
  });

  it('are unknown for at most 1 % of the samples', () => {
    // One signal stands for many intervals where the machine is busy.
    assert.ok(metrics.samples > 300, `${metrics.samples} samples`);
    const unresolved = metrics.unresolvedFrames / metrics.samples;
    assert.ok(unresolved <= 0.01, `${metrics.unresolvedFrames} of ${metrics.samples} samples`);
  });
});

describe('names of WebAssembly', function () {
  this.timeout(120_000);
  this.slow(60_000);

  let nanosByName;
  let metrics;

  before(async () => {
    ({ nanosByName, metrics } = await messageOf(
      runNode(['--expose-gc', modules], { timeoutMs: 100_000 }),
    ));
  });

  it('are those of the module that runs, and never of an earlier one', () => {
    const text = JSON.stringify({ nanosByName, metrics });
    assert.equal(Object.keys(nanosByName).length, 6, text);
    for (const [module, byName] of Object.entries(nanosByName)) {
      const right = byName[`module ${module}`] ?? 0;
      const wrong = Object.keys(byName).filter((name) => /^module/.test(name));
      assert.deepEqual(wrong, [`module ${module}`], text);
      const sum = Object.values(byName).reduce((a, b) => a + b, 0);
      // A function that has no name yet when another module is freed stays without one.
      assert.ok(right > 0.3 * sum, text);
    }
  });

  it('are known at the end of a profile without a turn of the event loop', async () => {
    const named = await messageOf(runNode([oneTurn]));
    assert.ok(named >= 0.8, `${named}`);
  });

  it('are found without a list of all code', () => {
    assert.ok(metrics.jitEventNanos > 0, JSON.stringify(metrics));
    // A list has thousands: all functions that Node.js itself has compiled.
    assert.ok(metrics.codeEntries < 500, JSON.stringify(metrics));
  });
});
