/** Work that is hard on a profiler, a step at a time: each function is one step of one kind. */

import { pbkdf2Sync } from 'node:crypto';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { createContext, runInContext, Script } from 'node:vm';
import { deflateSync, inflateSync } from 'node:zlib';

const require = createRequire(import.meta.url);
let made = 0;

const survivors = [];
function task_garbage() {
  let sum = 0;
  for (let i = 0; i < 5_000; i++) {
    const object = { i, text: `x${i}`, inner: [i, { i }] };
    if (i % 40 === 0) survivors[(i + made++) % 2_000] = object;
    sum += object.inner[0] & 7;
  }
  return sum;
}

/** Optimized for one shape, and run with another, again and again. */
function task_deopt() {
  const add = new Function('a', 'b', `return a.x + b.y; /* ${made++} */`);
  const loop = new Function(
    'add',
    'shapes',
    'n',
    `let s = 0; for (let i = 0; i < n; i++) s = add(shapes[i % shapes.length], shapes[0]); return s; // ${made}`,
  );
  loop(add, [{ x: 1, y: 2 }], 4_000);
  loop(
    add,
    [
      { x: 1, y: 2 },
      { y: 1.5, x: 0.5 },
    ],
    4_000,
  );
  loop(
    add,
    [
      { x: 'a', y: 'b', z: 1 },
      { x: 1n, y: 2n },
    ].slice(0, 1),
    2_000,
  );
  try {
    loop(add, [{ x: 1n, y: 2 }], 10);
  } catch {
    // A bigint and a number: thrown in optimized code.
  }
  return new Function(
    `let s = 0; for (let i = 0; i < 30000; i++) s += i % 7; return s; // ${made}`,
  )();
}

let modules;
function moduleFolder() {
  if (modules === undefined) {
    modules = mkdtempSync(path.join(os.tmpdir(), 'churn-'));
    process.on('exit', () => rmSync(modules, { recursive: true, force: true }));
  }
  return modules;
}

/** Code that comes and goes: eval, new Function, scripts, modules. */
function task_code() {
  let sum = 0;
  for (let i = 0; i < 10; i++) {
    const id = made++;
    const work = new Function(
      'n',
      `/* ${id} */ let s = 0; for (let i = 0; i < n; i++) s += i; return s;`,
    );
    for (let j = 0; j < 10; j++) sum += work(200);
    sum += eval(
      `(function evaluated_${id}(n) { while (n--) sum += n & ${id & 7}; return 1; })(300)`,
    );
  }
  sum += new Script(`(() => { let s = 0; for (let i = 0; i < 2000; i++) s += i; return s; })()`, {
    filename: `/app/churn-${made % 50}.js`,
  }).runInThisContext();
  const file = path.join(moduleFolder(), `module-${made % 20}.cjs`);
  writeFileSync(
    file,
    `exports.work = function (n) { let s = ${made}; while (n--) s ^= n; return s; };`,
  );
  delete require.cache[file];
  return sum + require(file).work(1_000);
}

/** Down to the end of the stack, in many kinds of frames, and back by an exception. */
function task_recursion() {
  let depth = 0;
  function task_recursion_down(n) {
    depth++;
    if (n % 3 === 0) return [n].map((value) => task_recursion_down(value + 1))[0];
    if (n % 3 === 1) return Reflect.apply(task_recursion_down, undefined, [n + 1]);
    return task_recursion_down(n + 1) + 1;
  }
  try {
    task_recursion_down(0);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
  // And in the middle of a builtin and of a regular expression.
  try {
    const nested = { toString: () => String(nested) };
    String(nested);
  } catch {
    // Too deep, again.
  }
  return depth;
}

const instance = makeWasm();

/**
 * (module (func $fib (export "fib") …) (func (export "trap") unreachable)
 * (func $deep (export "deep") call $deep)), in the binary format of WebAssembly.
 */
function makeWasm() {
  if (typeof WebAssembly === 'undefined') return undefined;
  const section = (id, bytes) => [id, bytes.length, ...bytes];
  const body = (code) => [code.length + 1, 0, ...code];
  const fib = [
    0x20,
    0x00,
    0x41,
    0x02,
    0x48,
    0x04,
    0x7f,
    0x20,
    0x00,
    0x05, // n < 2 ? n :
    0x20,
    0x00,
    0x41,
    0x01,
    0x6b,
    0x10,
    0x00, // fib(n - 1)
    0x20,
    0x00,
    0x41,
    0x02,
    0x6b,
    0x10,
    0x00,
    0x6a,
    0x0b,
    0x0b, // + fib(n - 2)
  ];
  const bytes = Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, [2, 0x60, 1, 0x7f, 1, 0x7f, 0x60, 0, 0]),
    ...section(3, [3, 0, 1, 1]),
    ...section(7, [
      3,
      3,
      ...Buffer.from('fib'),
      0,
      0,
      4,
      ...Buffer.from('trap'),
      0,
      1,
      4,
      ...Buffer.from('deep'),
      0,
      2,
    ]),
    ...section(10, [3, ...body(fib), ...body([0x00, 0x0b]), ...body([0x10, 0x02, 0x0b])]),
  ]);
  return () => new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;
}

let wasm;
function task_wasm() {
  if (instance === undefined) return task_wasm_without();
  if (wasm === undefined || made++ % 10 === 0) wasm = instance();
  let sum = wasm.fib(18);
  for (const name of made % 5 === 0 ? ['trap', 'deep'] : ['trap']) {
    try {
      wasm[name]();
    } catch {
      sum++;
    }
  }
  return sum;
}
/** Where there is no WebAssembly (--jitless). */
function task_wasm_without() {
  let x = 1;
  for (let i = 0; i < 20_000; i++) x = (x * 48_271) % 2_147_483_647;
  return x;
}

let context;
function task_contexts() {
  if (context === undefined || made++ % 20 === 0) {
    context = createContext({ result: 0 });
    runInContext(
      'function task_contexts_inside(n) { let s = 0; for (let i = 0; i < n; i++) s += [i, i].length; return s; }',
      context,
    );
  }
  return runInContext('result = task_contexts_inside(3000)', context);
}

/** Builtins that call back, interpreted and compiled regular expressions, proxies, getters. */
function task_builtins() {
  const numbers = Array.from({ length: 300 }, (_, i) => (i * 7_919) % 301);
  numbers.sort((a, b) => a - b);
  const proxy = new Proxy(
    {},
    { get: (_, name) => String(name).length, has: () => true, ownKeys: () => ['a'] },
  );
  let sum = 0;
  for (let i = 0; i < 300; i++) sum += proxy[`key${i}`];
  JSON.parse(JSON.stringify({ numbers, text: 'é'.repeat(50) }), (_, value) => value);
  'aaaaaaaaaaaa!'.replace(/(a+)+$/g, () => 'b');
  new RegExp(`(a|b|${made++})*c`).exec('ab'.repeat(300));
  [...'text'.matchAll(/t|e/g)];
  return sum + structuredClone({ numbers }).numbers.length;
}

function task_native() {
  const text = Buffer.alloc(20_000, 'some text to compress');
  inflateSync(deflateSync(text));
  pbkdf2Sync('a', 'b', 300, 32, 'sha256');
  try {
    statSync('/nowhere');
  } catch {
    // Thrown from C++.
  }
  return text.toString('base64').length;
}

/** Promises, generators and async generators, a hundred tasks deep. */
async function task_hops() {
  async function* task_hops_numbers() {
    for (let i = 0; i < 30; i++) yield await i;
  }
  let sum = 0;
  for await (const n of task_hops_numbers()) {
    for (let i = 0; i < 500; i++) sum += (i * n) & 3;
  }
  await Promise.all(Array.from({ length: 30 }, async (_, i) => (await null, (sum += i))));
  return sum;
}

/** Kind → a step of it, sync or not. */
export const KINDS = {
  garbage: task_garbage,
  deopt: task_deopt,
  code: task_code,
  recursion: task_recursion,
  wasm: task_wasm,
  contexts: task_contexts,
  builtins: task_builtins,
  native: task_native,
  hops: task_hops,
};
