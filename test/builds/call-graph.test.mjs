/** Checks what the signal handler reaches: allowed functions only, and each of ours marked as safe. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import {
  buildDirectory as addonBuildDirectory,
  buildNative,
  describeNode,
  findHeaders,
} from '../../scripts/lib/native-build.mjs';
import { needsProgram } from '../support/needs.mjs';
import { allowed, allowedIndirect, reach, roots } from '../native/call_graph.mjs';
import {
  buildDirectory,
  compileObjects,
  nativeDirectory,
  nativeFiles,
  testDirectory,
} from '../native/toolchain.mjs';

const node = describeNode();

function objectsBelow(directory) {
  return readdirSync(directory, { recursive: true })
    .filter((file) => file.endsWith('.o'))
    .map((file) => path.join(directory, file));
}

function expectAllowed({ external, indirect, callers }) {
  const forbidden = external.filter((name) => !allowed.has(name));
  assert.deepEqual(
    forbidden.map((name) => `${callers.get(name)} calls ${name}`),
    [],
  );
  const pointers = [...indirect.keys()].filter((name) => !allowedIndirect.has(name));
  assert.deepEqual(pointers, []);
}

describe('call graph of the signal handler', function () {
  before(function () {
    needsProgram('objdump', this);
  });

  describe('in the addon as it is built', function () {
    let graph;

    before(async function () {
      this.timeout(300_000);
      buildNative(node, { quiet: true });
      const objects = objectsBelow(path.join(addonBuildDirectory(node), 'build', 'Release'));
      graph = await reach(objects, roots);
    });

    it('reaches the functions that take a sample', function () {
      for (const name of ['v8::Isolate::GetStackSample', '__errno_location', 'uv_async_send']) {
        assert.ok(graph.external.includes(name), name);
      }
    });

    it('calls nothing that may allocate, lock or throw', function () {
      expectAllowed(graph);
    });
  });

  describe('without inlining', function () {
    let graph;

    before(async function () {
      this.timeout(300_000);
      const include = path.join(findHeaders(node), 'include', 'node');
      const sources = nativeFiles('.cc')
        .filter((file) => path.dirname(file) !== 'addon')
        .map((file) => path.join(nativeDirectory, file));
      const objects = await compileObjects(
        path.join(buildDirectory, `call-graph-abi${node.abi}`),
        sources,
        ['-O0', '-fPIC', '-fno-exceptions', '-fno-rtti', '-isystem', include],
      );
      graph = await reach(objects, roots);
    });

    it('calls nothing that may allocate, lock or throw', function () {
      expectAllowed(graph);
    });

    it('passes only through functions marked SIGNAL_SAFE and noexcept', function () {
      const code = [...nativeFiles('.cc'), ...nativeFiles('.h')]
        .map((file) => readFileSync(path.join(nativeDirectory, file), 'utf8'))
        .join('\n')
        .replace(/\/\/.*$/gm, '');
      const ours = graph.own
        .filter((name) => name.startsWith('otelpyroscope::'))
        .map((name) => name.split('::').pop());
      assert.ok(ours.length > 10);
      const unmarked = ours.filter(
        (name) =>
          !new RegExp(
            `\\bSIGNAL_SAFE\\b[^;{}()]*\\b${name}\\([^;{}]*\\)[^;{}]*\\bnoexcept\\b`,
          ).test(code),
      );
      assert.deepEqual([...new Set(unmarked)], []);
    });
  });

  describe('of handlers that break the rules', function () {
    const expected = new Map([
      ['Allocates', ['operator new[]']],
      ['AllocatesDeepInside', ['malloc']],
      ['Locks', ['pthread_mutex_lock', 'pthread_mutex_unlock']],
      ['Throws', ['__cxa_allocate_exception', '__cxa_throw']],
      ['TakesTheAddressOfOne', ['free']],
      ['UsesAFunctionLocalStatic', ['__cxa_guard_acquire', '__cxa_guard_release']],
    ]);
    let objects;

    before(async function () {
      this.timeout(60_000);
      objects = await compileObjects(
        path.join(buildDirectory, 'call-graph-control'),
        [path.join(testDirectory, 'unsafe_handlers.cc')],
        ['-O2', '-fPIC'],
      );
    });

    for (const [name, functions] of expected) {
      it(`notices one that ${name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`).trim()}`, async function () {
        const graph = await reach(objects, [`unsafe_handlers::${name}`]);
        for (const forbidden of functions) assert.ok(graph.external.includes(forbidden), forbidden);
        assert.throws(
          () => expectAllowed(graph),
          (error) => error.message.includes(functions[0]),
        );
      });
    }

    it('notices one that calls through a pointer', async function () {
      const graph = await reach(objects, ['unsafe_handlers::CallsThroughAPointer']);
      assert.deepEqual([...graph.indirect.keys()], ['unsafe_handlers::CallsThroughAPointer']);
      assert.throws(() => expectAllowed(graph), /CallsThroughAPointer/);
    });
  });
});
