/** The call graph of the signal handler, read from object files, and what it may call outside of them. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Where the handler begins. */
export const roots = [
  'otelpyroscope::OnTimerSignal',
  'otelpyroscope::OnTaskClockSignal',
  'otelpyroscope::Sampler::HandleSignal',
];

/** Functions of other libraries that the handler may reach, and why each is safe there. */
export const allowed = new Map([
  ['__errno_location', 'the address of errno'],
  ['clock_gettime', 'async-signal-safe (POSIX)'],
  ['timer_settime', 'async-signal-safe (POSIX)'],
  ['ioctl', 'a system call, of the task clock alone'],
  ['pthread_self', 'async-signal-safe (POSIX)'],
  ['pthread_equal', 'async-signal-safe (POSIX)'],
  ['memcpy', 'async-signal-safe (POSIX)'],
  ['memset', 'async-signal-safe (POSIX)'],
  ['uv_async_send', 'the one libuv function that is documented as async-signal-safe'],
  ['v8::Isolate::GetStackSample', "what V8's own profiler calls in its handler"],
  ['v8::Isolate::IsInUse', 'reads one field'],
  ['v8::Isolate::TryGetCurrent', 'reads one thread-local of the executable'],
  ['otelpyroscope::v8_layout::table', 'data of another file: the offsets'],
  ['v8::Locker::IsLocked', 'reads one atomic'],
  ['v8::RegisterState::RegisterState', 'sets four pointers to null'],
  ['v8::RegisterState::~RegisterState', 'frees nothing: callee_saved is null except on 32-bit Arm'],
  ['__stack_chk_fail', 'ends the process; compilers with a stack protector insert it'],
]);

/** Functions with a call through a pointer, and what it leads to. */
export const allowedIndirect = new Map(
  // The compiler may put it into its two callers.
  ['(anonymous namespace)::CallHandler', 'OnTimerSignal', 'OnTaskClockSignal'].map((name) => [
    `otelpyroscope::${name}`,
    'the handler that CpuTimer::Start() was given: Sampler::HandleSignal, the other root',
  ]),
);

const branch = /^(?:call|jmp|j[a-z]{1,3}|bl?|b\.[a-z]+|cbn?z|tbn?z)q?$/;
const indirectBranch = /^(?:(?:notrack |bnd )*(?:call|jmp)q?\s+\*|(?:blr|br)\s)/;

async function functionsOf(object) {
  const symbols = new Map();
  const { stdout: table } = await run('objdump', ['-t', object], { maxBuffer: 1 << 28 });
  for (const line of table.split('\n')) {
    // value, flags, section, size, name
    const match = /^([0-9a-f]+) (.{7}) (\S+)\s+[0-9a-f]+\s+(?:\.hidden )?(\S+)$/.exec(line);
    if (match === null || match[3] === '*UND*') continue;
    const [, value, flags, section, name] = match;
    symbols.set(name, {
      section,
      address: Number.parseInt(value, 16),
      isCode: flags.includes('F'),
    });
  }
  const { stdout: text } = await run('objdump', ['-dr', '--no-show-raw-insn', object], {
    maxBuffer: 1 << 28,
  });
  return parse(text, symbols);
}

/** Which function of a section holds an address. */
function functionAt(symbols, section, address) {
  let best;
  for (const [name, symbol] of symbols) {
    if (!symbol.isCode || symbol.section !== section || symbol.address > address) continue;
    if (best === undefined || symbol.address >= best.address) best = { name, ...symbol };
  }
  return best?.name;
}

function parse(text, symbols) {
  const functions = new Map();
  let current;
  let pending; // the target of a branch, unless a relocation follows
  const flush = () => {
    if (pending !== undefined) current.references.add(pending);
    pending = undefined;
  };
  for (const line of text.split('\n')) {
    const header = /^[0-9a-f]+ <(.+)>:$/.exec(line);
    if (header !== null) {
      if (current !== undefined) flush();
      current = { references: new Set(), indirect: [] };
      functions.set(header[1], current);
      continue;
    }
    if (current === undefined) continue;
    const relocation = /^\s+[0-9a-f]+: (R_\S+)\s+(\S+?)([+-]0x[0-9a-f]+)?$/.exec(line);
    if (relocation !== null) {
      pending = undefined;
      const [, , name, addend = '+0x0'] = relocation;
      if (/^\.(text|init|fini)/.test(name)) {
        // Relative to the place behind the four bytes, on x86-64.
        const offset = Number.parseInt(addend.replace('0x', ''), 16) + 4;
        const target = functionAt(symbols, name, offset);
        if (target === undefined) throw new Error(`No function at ${name}${addend}.`);
        current.references.add(target);
      } else if (!name.startsWith('.') && !(symbols.get(name)?.isCode === false)) {
        current.references.add(name);
      }
      continue;
    }
    const instruction = /^\s*[0-9a-f]+:\t(.*)$/.exec(line);
    if (instruction === null) continue;
    flush();
    const words = instruction[1].trim();
    if (indirectBranch.test(words)) current.indirect.push(words);
    const [mnemonic] = words.split(/\s/);
    const target = /<([^>]+?)(?:\+0x[0-9a-f]+)?>$/.exec(words);
    if (target !== null && branch.test(mnemonic)) pending = target[1];
  }
  if (current !== undefined) flush();
  return functions;
}

/** "int* ns::(anonymous namespace)::F<a<b>>(c) const [clone .cold]" becomes "ns::(anonymous namespace)::F". */
function plainName(demangled) {
  let name = demangled.replace(/@.*$/, '').replaceAll('(anonymous namespace)', '{anonymous}');
  for (let before; before !== name;) {
    before = name;
    name = name.replace(/(?<!operator)<[^<>]*>/g, '');
  }
  name = name.replace(/\(.*$/, '');
  const operator = name.indexOf('operator ');
  const start = name.lastIndexOf(' ', operator < 0 ? undefined : operator) + 1;
  return name.slice(start).replaceAll('{anonymous}', '(anonymous namespace)');
}

async function demangle(names) {
  if (names.length === 0) return [];
  const { stdout } = await run('c++filt', names, { maxBuffer: 1 << 24 });
  return stdout.trim().split('\n').map(plainName);
}

/**
 * Follows every reference from `startNames` (demangled, without parameters) through the functions
 * in `objects`, taken addresses included.
 *
 * @returns {Promise<{ own: string[], external: string[], indirect: Map<string, string[]>, callers: Map<string, string> }>}
 *   demangled names: reached functions in the objects, and outside of them; for each function the
 *   calls through pointers; and one caller of each.
 */
export async function reach(objects, startNames) {
  const functions = new Map();
  for (const object of objects) {
    for (const [name, content] of await functionsOf(object)) {
      const known = functions.get(name);
      if (known === undefined) {
        functions.set(name, content);
        continue;
      }
      // A local function of the same name in another file, or an inline one: both count.
      for (const reference of content.references) known.references.add(reference);
      known.indirect.push(...content.indirect);
    }
  }
  const defined = [...functions.keys()];
  const plain = new Map();
  (await demangle(defined)).forEach((name, i) => plain.set(defined[i], name));
  const waiting = defined.filter((name) => startNames.includes(plain.get(name)));
  for (const name of startNames) {
    if (![...plain.values()].includes(name)) throw new Error(`There is no function ${name}.`);
  }
  const callers = new Map(waiting.map((name) => [name, undefined]));
  const external = new Set();
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    for (const reference of functions.get(name).references) {
      if (callers.has(reference)) continue;
      callers.set(reference, name);
      if (functions.has(reference)) waiting.push(reference);
      else external.add(reference);
    }
  }
  const outside = [...external];
  const outsidePlain = await demangle(outside);
  outside.forEach((name, i) => plain.set(name, outsidePlain[i]));
  const own = [...callers.keys()].filter((name) => functions.has(name));
  return {
    own: own.map((name) => plain.get(name)).sort(),
    external: [...new Set(outsidePlain)].sort(),
    indirect: new Map(
      own
        .filter((name) => functions.get(name).indirect.length > 0)
        .map((name) => [plain.get(name), functions.get(name).indirect]),
    ),
    callers: new Map(
      [...callers].map(([name, caller]) => [plain.get(name), plain.get(caller) ?? 'the kernel']),
    ),
  };
}
