/** How a binary of the package is made: which there are, the flags that make it portable, its checks. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { buildAddon, headersAbi, packageRoot } from './native-build.mjs';
import { installNode } from './nodes.mjs';
import { minimumGlibc, muslSymbols, zigCompilers, zigEnvironment } from './zig.mjs';

/** The supported versions of Node, and the exact ones whose headers the binaries are built with. */
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

/** What Node looks for in a Node-API module; all else is the addon's own. */
const exported = ['napi_register_module_v1', 'node_api_module_get_api_version_v1'];

/** The prefix with the headers that every prebuild of that Node is built with, on any machine. */
function headersOf({ version, abi }) {
  const prefix = installNode(version, process.arch);
  const found = headersAbi(prefix);
  if (found !== abi) throw new Error(`The headers of Node ${version} are of ABI ${found}.`);
  return prefix;
}

/** Flags by which equal sources give equal bytes wherever they are built, and nothing more is in them. */
function environmentFor(prebuild, directory, headers) {
  const { cc, cxx } = zigCompilers(prebuild);
  const exportsFile = path.join(directory, 'exports.map');
  writeFileSync(exportsFile, `{ global: ${exported.join('; ')}; local: *; };\n`);
  // The places of the checkout and of the headers would get in by way of __FILE__.
  const places = [directory, packageRoot, headers].map((place) => `-ffile-prefix-map=${place}=.`);
  const compile = [...places, '-g0', '-fno-sanitize=undefined', '-ffunction-sections'].join(' ');
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

/** Builds one of `prebuilds`, checks it, and returns what `publish` makes of its path. */
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

/** Of every dynamic symbol: its mangled name, and whether it is wanted or had; weak ones may miss. */
export function dynamicSymbols(file) {
  // Number, value, size, type, binding, visibility, section, name with `@` and a version.
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

/** The names of all that the executable in that prefix has for addons. */
function exportsOfNode(prefix) {
  if (!exportsOfNodes.has(prefix)) {
    const symbols = dynamicSymbols(path.join(prefix, 'bin', 'node'));
    const names = symbols.filter(({ isImport }) => !isImport).map(({ name }) => name);
    exportsOfNodes.set(prefix, names);
  }
  return exportsOfNodes.get(prefix);
}

/**
 * What the binary wants that neither its Node nor its libc has: a linker does not say, since it
 * leaves Node's symbols open. Those of glibc are known by their versions.
 */
export function missingSymbols(file, prebuild) {
  // The Node of this machine's architecture has the same functions.
  const had = new Set(exportsOfNode(headersOf(prebuild)));
  if (prebuild.libc === 'musl') for (const name of muslSymbols()) had.add(name);
  return dynamicSymbols(file)
    .filter(({ isImport, isWeak }) => isImport && !isWeak)
    .filter(({ name, version }) => !had.has(name) && !version.startsWith('@GLIBC_'))
    .map(({ name }) => name);
}

const machines = { x64: 'Advanced Micro Devices X86-64', arm64: 'AArch64' };

/** Libraries that are part of the libc, by the names that the two give them. */
const libcLibraries = {
  glibc: /^(lib(c|m|dl|rt|pthread)\.so\.\d|ld-linux-[\w-]+\.so\.\d)$/,
  musl: /^libc\.so$/,
};

function isNewer(version, than) {
  const [a, b] = [version, than].map((text) => text.split('.').map(Number));
  const at = a.findIndex((part, index) => part !== (b[index] ?? 0));
  return at >= 0 && a[at] > (b[at] ?? 0);
}

/** There are sixteen of them in the package. */
const maximumKiB = 640;

/** Why the binary would not load, or not stay alone, where it is meant for; empty when it would. */
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

  // Number, value, size, type, binding, visibility, section, name, which has spaces in C++.
  const symbols = readelf('-W', '--dyn-syms', '--demangle', file)
    .split('\n')
    .map((line) => /^\s*\d+:(?:\s+\S+){5}\s+(\S+)\s+(\S.*?)(?:@.*)?$/.exec(line))
    .filter(Boolean)
    .map(([, section, name]) => ({ isImport: section === 'UND', name }));
  for (const { isImport, name } of symbols) {
    if (!isImport && !exported.includes(name)) problems.push(`exports ${name}`);
    // Our C++ library is another than Node's: no type of it may cross to V8.
    if (isImport && /\bstd::/.test(name)) problems.push(`imports ${name}`);
  }
  for (const name of exported) {
    if (!symbols.some((symbol) => !symbol.isImport && symbol.name === name)) {
      problems.push(`does not export ${name}`);
    }
  }
  if (readelf('-SW', file).includes('.symtab')) problems.push('is not stripped');
  const bytes = readFileSync(file);
  if (bytes.length > maximumKiB * 1024) problems.push(`is larger than ${maximumKiB} KiB`);
  if (bytes.includes(packageRoot)) problems.push('names the place of the checkout');
  return problems;
}
