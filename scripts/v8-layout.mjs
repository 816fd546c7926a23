/**
 * Prints V8's memory layout in native/v8_heap/layout.cc beside that in the symbols of a Node's own
 * binary, builds the addon for that Node, and runs the sampler's self-checks on it.
 *
 *     node scripts/v8-layout.mjs 25
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { buildNative, describeNode, messageOf, packageRoot } from './lib/native-build.mjs';
import { installNode } from './lib/nodes.mjs';

/** Entries of the table that V8 exports for debuggers, some in all versions, some in a few. */
const debugNames = {
  instruction_start: ['v8dbg_class_Code__instruction_start__Address'],
  function_shared: ['v8dbg_class_JSFunction__shared__SharedFunctionInfo'],
  function_script: ['v8dbg_class_SharedFunctionInfo__script__HeapObject'],
  shared_name: [
    'v8dbg_class_SharedFunctionInfo__name_or_scope_info__Object',
    'v8dbg_class_SharedFunctionInfo__name_or_scope_info__Tagged_Object_',
    'v8dbg_class_SharedFunctionInfo__name_or_scope_info__Tagged_NameOrScopeInfoT_',
  ],
  shared_data: ['v8dbg_class_SharedFunctionInfo__function_data__Object'],
  script_source: ['v8dbg_class_Script__source__Object'],
  script_name: ['v8dbg_class_Script__name__Object'],
  string_length: ['v8dbg_class_String__length__int32_t'],
  string_data: ['v8dbg_class_SeqOneByteString__chars__char'],
  cons_first: ['v8dbg_class_ConsString__first__String'],
  cons_second: ['v8dbg_class_ConsString__second__String'],
  thin_actual: ['v8dbg_class_ThinString__actual__String'],
  sliced_parent: ['v8dbg_class_SlicedString__parent__String'],
  sliced_offset: ['v8dbg_class_SlicedString__offset__SMI'],
  regexp_source: ['v8dbg_class_JSRegExp__source__Object'],
  bytecode_header: ['v8dbg_class_BytecodeArray__data__uintptr_t'],
  literals_index: ['v8dbg_class_DeoptimizationData__LiteralArrayIndex__int'],
  inlining_positions_index: ['v8dbg_DeoptimizationDataInliningPositionsIndex'],
};

/** Returns the table in the sources for that V8, or undefined if there is none. */
function tableOf(v8Major) {
  const text = readFileSync(path.join(packageRoot, 'native', 'v8_heap', 'layout.cc'), 'utf8');
  const common = /constexpr Layout kCommon = \{([\s\S]*?)\n\};/.exec(text)[1];
  const branches = text.matchAll(
    /#(?:el)?if ([^\n]*V8_MAJOR_VERSION[^\n]*)\n#define OTELPYROSCOPE_HAS_CODE_LAYOUT 1\nconstexpr Layout TableOfThisVersion\(\) \{([\s\S]*?)\}\n/g,
  );
  for (const [, condition, changes] of branches) {
    const majors = [...condition.matchAll(/== (\d+)/g)].map((match) => match[1]);
    if (!majors.includes(v8Major)) continue;
    const entries = [
      ...common.matchAll(/\.(\w+) = (\d+),/g),
      ...changes.matchAll(/layout\.(\w+) = (\d+);/g),
    ];
    return Object.fromEntries(entries.map(([, name, value]) => [name, Number(value)]));
  }
  return undefined;
}

/** Returns the values of the v8dbg_ symbols in that binary, by name. */
function debugConstants(binary) {
  const symbols = execFileSync('readelf', ['-sW', binary], {
    encoding: 'utf8',
    maxBuffer: 1 << 30,
  });
  const sections = execFileSync('readelf', ['-SW', binary], { encoding: 'utf8' });
  const areas = [...sections.matchAll(/\]\s+\S+\s+\w+\s+([0-9a-f]{16}) ([0-9a-f]+) ([0-9a-f]+)/g)]
    .map((match) => match.slice(1).map((text) => Number.parseInt(text, 16)))
    .map(([address, offset, size]) => ({ address, offset, size }));
  const bytes = readFileSync(binary);
  const found = new Map();
  for (const [, value, name] of symbols.matchAll(/:\s+([0-9a-f]{16})\s+4 OBJECT.*\s(v8dbg_\w+)/g)) {
    const at = Number.parseInt(value, 16);
    const area = areas.find(({ address, size }) => at >= address && at < address + size);
    // A constant zero has no bytes in the file.
    if (area === undefined) continue;
    const offset = at - area.address + area.offset;
    if (offset + 4 <= bytes.length) found.set(name, bytes.readInt32LE(offset));
  }
  return found;
}

/** A program that works until V8 has optimized and inlined, and prints the metrics. Runs on that Node. */
const exercise = `
  const { CpuProfiler } = require(${JSON.stringify(packageRoot)});
  const inner = (n) => { let x = 1; for (let i = 0; i < n; i++) x = (Math.imul(x, 31) + i) | 0; return x; };
  function outer(ms) {
    const start = process.cpuUsage();
    for (;;) {
      for (let i = 0; i < 10; i++) inner(50_000);
      const { user, system } = process.cpuUsage(start);
      if ((user + system) / 1_000 >= ms) return;
    }
  }
  (async () => {
    const profiler = new CpuProfiler({ intervalMicros: 1_000 });
    profiler.start();
    for (let i = 0; i < 20 && profiler.metrics().inlinedFrames < 100; i++) {
      outer(100);
      await profiler.collect();
    }
    console.log(JSON.stringify(profiler.metrics()));
    await profiler.stop();
  })();`;

function main() {
  const [version] = process.argv.slice(2);
  if (version === undefined) throw new Error('Which version of Node? For example: 25');
  const node = describeNode(installNode(version));
  const print = 'console.log(process.versions.v8)';
  const v8 = execFileSync(node.execPath, ['-e', print], { encoding: 'utf8' }).trim();
  console.log(`Node ${node.version}, ABI ${node.abi}, V8 ${v8}, ${node.platform}-${node.arch}\n`);

  const table = tableOf(v8.split('.')[0]);
  const constants = debugConstants(node.execPath);
  console.log('field                             layout.cc      v8dbg');
  for (const [name, value] of Object.entries(table ?? tableOf('12'))) {
    const exported = (debugNames[name] ?? [])
      .map((symbol) => constants.get(symbol))
      .find(Number.isInteger);
    const known = table === undefined ? '?' : String(value);
    console.log(`${name.padEnd(34)} ${known.padStart(11)} ${String(exported ?? '-').padStart(7)}`);
  }
  console.log(`\n${constants.size} v8dbg_ constants; instance types:`);
  for (const type of ['Code__CODE', 'SharedFunctionInfo__SHARED_FUNCTION_INFO', 'Script__SCRIPT']) {
    console.log(`  ${type.padEnd(44)} ${constants.get(`v8dbg_type_${type}_TYPE`) ?? '-'}`);
  }

  buildNative(node, { quiet: true });
  const output = execFileSync(node.execPath, ['-e', exercise], { encoding: 'utf8' });
  const { samples, inlinedFrames, layoutFallbacks } = JSON.parse(output);
  console.log(`\n${samples} samples, ${inlinedFrames} inlined frames`);
  if (layoutFallbacks > 0) {
    throw new Error(
      `${layoutFallbacks} self-checks failed: a number in native/v8_heap/layout.cc is wrong.`,
    );
  }
  console.log(
    inlinedFrames > 0
      ? 'all self-checks passed'
      : `plain frames: there is no layout for V8 ${v8.split('.')[0]} in native/v8_heap/layout.cc`,
  );
}

try {
  main();
} catch (error) {
  console.error(`otelpyroscope: ${messageOf(error)}`);
  process.exitCode = 1;
}
