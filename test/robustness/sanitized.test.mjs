/**
 * Random and damaged input for everything that reads what others wrote, under AddressSanitizer
 * and UndefinedBehaviorSanitizer; the whole addon under the same.
 */

import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describeNode, findHeaders } from '../../scripts/lib/native-build.mjs';
import { sharedSources } from '../native/cases.mjs';
import { buildDirectory, compile, nativeDirectory } from '../native/toolchain.mjs';
import { messageOf, runNode } from '../support/run-child.mjs';
import { buildPreload } from './build.mjs';
import { makeSanitizedPackage, SANITIZED, SANITIZERS } from './sanitized-package.mjs';
import { ALL, assertWell, count, SECONDS, SEED, timeoutOf, torture, tortures } from './torture.mjs';

const execute = promisify(execFile);
const source = fileURLToPath(new URL('fuzz.cc', import.meta.url));
/** Those of native/ that can be run without V8, besides the ones that need nothing of Node. */
const HEADERS_ONLY = [
  'v8_heap/code_object',
  'v8_heap/code_reader',
  'v8_heap/heap_function',
  'v8_heap/heap_reader',
  'v8_heap/heap_string',
  'v8_heap/layout',
];
const targets = {
  'source-positions': 400_000,
  'baseline-positions': 200_000,
  elf: 40_000,
  'symbol-names': 100_000,
  'event-names': 200_000,
  'process-maps': 100_000,
  heap: 60_000,
  'code-map': 60_000,
};

/** Those that read what the version of V8 says. */
const OF_V8 = new Set(['baseline-positions', 'heap']);

/** Writes inputs to begin with, for targets that reject noise at once. */
function corpusOf(target, directory) {
  mkdirSync(directory, { recursive: true });
  const put = (name, bytes) => writeFileSync(path.join(directory, name), bytes);
  if (target === 'elf') {
    const object = path.join(directory, 'object');
    spawnSync(process.env.CXX ?? 'c++', ['-x', 'c++', '-c', '-o', object, '-'], {
      input:
        'int first(int x) { return x; }\nstatic int second() { return 2; }\nint (*third)() = second;\n',
    });
    // Two bytes before the file: see FuzzElf().
    put('object', Buffer.concat([Buffer.alloc(2), readFileSync(object)]));
  }
  if (target === 'process-maps') {
    const numbers = Buffer.alloc(20);
    numbers.writeBigUInt64LE(0x400000n);
    put('maps', Buffer.concat([numbers, readFileSync('/proc/self/maps').subarray(0, 3_000)]));
  }
  if (target === 'symbol-names') {
    const names = [
      '_ZN4node2fsL12ReadFileUtf8ERKN2v820FunctionCallbackInfoINS1_5ValueEEE',
      '_ZNSt6vectorIiSaIiEE9push_backEOi.cold',
      'Builtins_ArrayMap',
      'std::map<int, std::pair<a, b> >::operator()(int) const::{lambda(auto:1)#2}::operator()<x>(int) const',
      'operator new(unsigned long)',
    ];
    names.forEach((name, i) => put(`name-${i}`, name));
  }
  if (target === 'event-names') put('event', "RegExp.> src: 'a+b' flags: 'gi'");
}

tortures('torture by fuzzing', function () {
  let fuzz;
  let isLibFuzzer;

  before(async function () {
    this.timeout(600_000);
    const node = describeNode();
    const include = `-I${path.join(findHeaders(node), 'include', 'node')}`;
    const sources = [
      source,
      ...sharedSources.filter(
        (file) => file.startsWith(`${nativeDirectory}${path.sep}`) && !/_test/.test(file),
      ),
      ...HEADERS_ONLY.map((name) => path.join(nativeDirectory, `${name}.cc`)),
    ].filter((file, i, all) => all.indexOf(file) === i);
    const flags = ['-O1', '-D_GNU_SOURCE', ...SANITIZERS, include];
    const link = ['-rdynamic', '-Wl,--unresolved-symbols=ignore-all'];
    const directory = path.join(buildDirectory, `fuzz-abi${node.abi}`);
    fuzz = path.join(directory, 'fuzz');
    const clang = { compiler: 'clang++', env: process.env };
    try {
      await compile(
        fuzz,
        sources,
        ['-fsanitize=fuzzer', '-Wno-unused-private-field', ...flags],
        link,
        clang,
      );
      isLibFuzzer = true;
    } catch {
      // No clang, or none with libFuzzer.
      fuzz = path.join(directory, 'fuzz-with-main');
      await compile(fuzz, sources, ['-DFUZZ_WITH_MAIN', ...flags], link);
      isLibFuzzer = false;
    }
    console.log(`      seed ${SEED}, ${isLibFuzzer ? 'libFuzzer' : 'a driver of its own'}`);
  });

  for (const [target, runs] of Object.entries(targets)) {
    torture(`is survived: ${target}`, { once: !OF_V8.has(target) }, async () => {
      const directory = mkdtempSync(path.join(os.tmpdir(), 'fuzz-'));
      const corpus = path.join(directory, 'corpus');
      try {
        corpusOf(target, corpus);
        const command = isLibFuzzer
          ? [`-runs=${runs}`, `-seed=${SEED}`, '-max_len=4096', '-timeout=20', corpus]
          : [String(runs), String(SEED), corpus];
        const env = { ...process.env, ...SANITIZED, FUZZ_TARGET: target };
        // Rejects, with the report of the sanitizer, where it does not end with 0.
        const { stdout, stderr } = await execute(fuzz, command, {
          cwd: directory,
          env,
          maxBuffer: 1 << 26,
        });
        assert.match(stdout + stderr, new RegExp(`${runs} runs`));
      } finally {
        rmSync(directory, { recursive: true });
      }
    });
  }
});

tortures('torture under the sanitizers', function () {
  /** Faults that only chance finds are worth some time; `TORTURE_SECONDS` may set more. */
  const seconds = Math.max(SECONDS, 20);
  let sanitized;
  let storm;

  before(async function () {
    this.timeout(600_000);
    if (!ALL) return;
    sanitized = await makeSanitizedPackage();
    const { LD_PRELOAD: runtime } = sanitized.env;
    const libraries = `${runtime}:${await buildPreload()}`;
    storm = { ...sanitized.env, LD_PRELOAD: libraries, TORTURE_STORM_MICROS: '100' };
  });
  after(() => {
    if (sanitized !== undefined) rmSync(sanitized.directory, { recursive: true });
  });

  /** Runs a program of the copy, whose path is the last but for the arguments. */
  const run = (flags, program, args, env = sanitized.env) =>
    messageOf(
      runNode([...flags, path.join(sanitized.directory, 'test', program), ...args.map(String)], {
        env,
        timeoutMs: timeoutOf(seconds),
      }),
    );

  for (const flags of [[], ['--stress-compaction'], ['--always-sparkplug', '--expose-gc']]) {
    torture(`is survived: all kinds of work ${flags.join(' ')}`, {}, async () => {
      const report = await run(flags, 'robustness/programs/mix.mjs', [SECONDS]);
      count(report.metrics);
      // The sanitizer's own code is in no file's symbols, and heavy.
      assertWell(report, { unresolved: 0.1 });
    });
  }

  for (const flags of [
    ['--no-incremental-marking', '--heap-growing-percent=1'],
    ['--stress-compaction'],
  ]) {
    torture(`is survived: big scripts in a storm ${flags.join(' ')}`, {}, async function () {
      this.timeout(2 * timeoutOf(seconds));
      const report = await run(flags, 'robustness/programs/big-scripts.mjs', [seconds], storm);
      count(report.metrics);
      assertWell(report, { unresolved: 0.1, sampled: false, cpu: Infinity, dropped: Infinity });
      assert.ok(report.scripts > seconds, `only ${report.scripts} scripts`);
    });
  }

  torture('is survived: workers that come and go', {}, async () => {
    const report = await run([], 'integration/fixtures/workers/churn.mjs', [30]);
    assert.deepEqual([report.problems, report.wrong], [[], []]);
  });
});
