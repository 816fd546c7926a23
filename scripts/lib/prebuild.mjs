/** Builds a binary of the package: their list, the flags that make them portable, and their checks. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { buildAddon, headersAbi, packageRoot } from './native-build.mjs';
import { installNode } from './nodes.mjs';
import { minimumGlibc, muslSymbols, zigCompilers, zigEnvironment } from './zig.mjs';

/** The supported versions of Node, with the exact version whose headers the binaries are built with. */
export const nodes = [
  { abi: '115', version: '20.20.2' },
  { abi: '127', version: '22.23.3' },
  { abi: '137', version: '24.21.0' },
  { abi: '147', version: '26.10.0' },
];

/** Every binary of the package, as node-gyp-build's tags: platform-arch/name.abi.libc.node. */
export const prebuilds = ['x64', 'arm64'].flatMap((arch) =>
  ['glibc', 'musl'].flatMap((libc) =>
    nodes.map((node) => ({ platform: 'linux', arch, libc, ...node })),
  ),
);

/** The symbols that Node looks up in a Node-API module; no others are exported. */
const exported = ['napi_register_module_v1', 'node_api_module_get_api_version_v1'];

/** Returns the prefix with the headers that prebuilds for that Node are built with on any machine. */
function headersOf({ version, abi }) {
  const prefix = installNode(version, process.arch);
  const found = headersAbi(prefix);
  if (found !== abi) throw new Error(`The headers of Node ${version} are of ABI ${found}.`);
  return prefix;
}

/** Returns flags by which equal sources give equal bytes wherever they are built, without debug data. */
function environmentFor(prebuild, directory, headers) {
  const { cc, cxx } = zigCompilers(prebuild);
  const exportsFile = path.join(directory, 'exports.map');
  writeFileSync(exportsFile, `{ global: ${exported.join('; ')}; local: *; };\n`);
  // __FILE__ would add the paths of the checkout and of the headers.
  const prefixMaps = [directory, packageRoot, headers].map((path) => `-ffile-prefix-map=${path}=.`);
  const compile = [...prefixMaps, '-g0', '-fno-sanitize=undefined', '-ffunction-sections'].join(' ');
  return {
    ...zigEnvironment(),
    CC: cc,
    CXX: cxx,
    LINK: cxx,
    CFLAGS: compile,
    CXXFLAGS: compile,
    LDFLAGS: `-O2 -s -Wl,--gc-sections -Wl,--version-script=${exportsFile}`,
  };
}

/** Builds one of `prebuilds`, checks it, calls `publish` with its path, and returns the result. */
export function buildPrebuild(prebuild, publish, { quiet = true } = {}) {
  const { arch, libc, abi } = prebuild;
  const directory = path.join(packageRoot, '.cache', `prebuild-${arch}-${libc}-abi${abi}`);
  const headers = headersOf(prebuild);
  mkdirSync(directory, { recursive: true });
  const env = environmentFor(prebuild, directory, headers);
  return buildAddon({ directory, headers, arch, env, quiet }, (built) => {
    const missing = missingSymbols(built, prebuild).map((name) => `nobody has ${name}`);
    const problems = [...problemsOf(built, prebuild), ...missing];
    if (problems.length > 0) throw new Error(`${built}: ${problems.join('; ')}.`);
    return publish(built);
  });
}

function readelf(...args) {
  return execFileSync('readelf', args, { encoding: 'utf8', maxBuffer: 1 << 26 });
}

/** Returns every dynamic symbol: its mangled name, and whether it is imported; weak ones may be missing. */
export function dynamicSymbols(file) {
  // Columns: number, value, size, type, binding, visibility, section, name with `@` and a version.
  const line = /^\s*\d+:(?:\s+\S+){3}\s+(GLOBAL|WEAK)\s+\S+\s+(\S+)\s+([^\s@]+)(@\S+)?/;
  return readelf('-W', '--dyn-syms', file)
    .split('\n')
    .map((text) => line.exec(text))
    .filter(Boolean)
    .map(([, binding, section, name, version = '']) => ({
      name,
      version,
      isImport: section === 'UND',
      isWeak: binding === 'WEAK',
    }));
}

const exportsOfNodes = new Map();

/** Returns the symbols that the executable in that prefix exports. */
function exportsOfNode(prefix) {
  if (!exportsOfNodes.has(prefix)) {
    const symbols = dynamicSymbols(path.join(prefix, 'bin', 'node'));
    const names = symbols.filter(({ isImport }) => !isImport).map(({ name }) => name);
    exportsOfNodes.set(prefix, names);
  }
  return exportsOfNodes.get(prefix);
}

/**
 * Returns the imports of the binary that neither its Node nor its libc exports. A linker does not
 * report them, since it leaves Node's symbols open. glibc's symbols are recognized by their versions.
 */
export function missingSymbols(file, prebuild) {
  // The Node for this machine's architecture exports the same functions.
  const had = new Set(exportsOfNode(headersOf(prebuild)));
  if (prebuild.libc === 'musl') for (const name of muslSymbols()) had.add(name);
  return dynamicSymbols(file)
    .filter(({ isImport, isWeak }) => isImport && !isWeak)
    .filter(({ name, version }) => !had.has(name) && !version.startsWith('@GLIBC_'))
    .map(({ name }) => name);
}

const machines = { x64: 'Advanced Micro Devices X86-64', arm64: 'AArch64' };

/** Libraries of the libc, by their names in glibc and in musl. */
const libcLibraries = {
  glibc: /^(lib(c|m|dl|rt|pthread)\.so\.\d|ld-linux-[\w-]+\.so\.\d)$/,
  musl: /^libc\.so$/,
};

function isNewer(version, than) {
  const [a, b] = [version, than].map((text) => text.split('.').map(Number));
  const at = a.findIndex((part, index) => part !== (b[index] ?? 0));
  return at >= 0 && a[at] > (b[at] ?? 0);
}

/** Largest size of a binary; the package has sixteen. */
export const MAX_BINARY_KIB = 640;

/** Returns the reasons why the binary would not load on its targets, or would share symbols there. */
export function problemsOf(file, { arch, libc }) {
  const problems = [];
  const header = readelf('-hW', file);
  if (!header.includes(machines[arch])) problems.push(`is not for ${arch}`);

  const dynamic = readelf('-dW', file);
  for (const [, library] of dynamic.matchAll(/\(NEEDED\).*\[(.+)\]/g)) {
    if (!libcLibraries[libc].test(library)) problems.push(`needs ${library}`);
  }
  if (!/FLAGS_1.*\bNOW\b.*\bNODELETE\b/.test(dynamic))
    problems.push('is not bound and kept at once');

  for (const [, version] of readelf('-VW', file).matchAll(/Name: GLIBC_([\d.]+)/g)) {
    if (libc === 'musl' || isNewer(version, minimumGlibc)) problems.push(`needs glibc ${version}`);
  }

  // Columns: number, value, size, type, binding, visibility, section, name, which has spaces in C++.
  const symbols = readelf('-W', '--dyn-syms', '--demangle', file)
    .split('\n')
    .map((line) => /^\s*\d+:(?:\s+\S+){5}\s+(\S+)\s+(\S.*?)(?:@.*)?$/.exec(line))
    .filter(Boolean)
    .map(([, section, name]) => ({ isImport: section === 'UND', name }));
  for (const { isImport, name } of symbols) {
    if (!isImport && !exported.includes(name)) problems.push(`exports ${name}`);
    // Our C++ library is not Node's: none of its types may be passed to V8.
    if (isImport && /\bstd::/.test(name)) problems.push(`imports ${name}`);
  }
  for (const name of exported) {
    if (!symbols.some((symbol) => !symbol.isImport && symbol.name === name)) {
      problems.push(`does not export ${name}`);
    }
  }
  if (readelf('-SW', file).includes('.symtab')) problems.push('is not stripped');
  const bytes = readFileSync(file);
  if (bytes.length > MAX_BINARY_KIB * 1024) problems.push(`is larger than ${MAX_BINARY_KIB} KiB`);
  if (bytes.includes(packageRoot)) problems.push('names the path of the checkout');
  return problems;
}
