/** Functions that build scripts share: describe a Node, find its headers and the binary's path, build. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const lockWaitMs = 300_000;

/** Root of the package: a checkout, or the installed dependency. */
export const packageRoot = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

/** True in a checkout (the TypeScript sources are not published). */
export const isCheckout = existsSync(path.join(packageRoot, 'src'));

/** Returns one line of the message of `cause`. */
export function messageOf(cause) {
  return cause instanceof Error ? cause.message : String(cause);
}

const describeScript = `
  process.report.excludeNetwork = true;
  const report = process.report.getReport();
  console.log(JSON.stringify({
    execPath: process.execPath,
    version: process.versions.node,
    abi: process.versions.modules,
    platform: process.platform,
    arch: process.arch,
    libc: report.header.glibcVersionRuntime === undefined ? 'musl' : 'glibc',
  }));
`;

/**
 * Describes the Node binary at `target`: the executable, or the prefix that holds `bin/node`.
 * Without a target, the Node that runs this script.
 *
 * @returns {{ execPath: string, prefix: string, version: string, abi: string, platform: string, arch: string, libc: string }}
 */
export function describeNode(target = process.execPath) {
  let binary = path.resolve(target);
  if (existsSync(binary) && statSync(binary).isDirectory())
    binary = path.join(binary, 'bin', 'node');
  if (!existsSync(binary)) throw new Error(`There is no Node at ${binary}.`);
  const output = execFileSync(binary, ['-e', describeScript], {
    encoding: 'utf8',
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  const node = JSON.parse(output);
  return { ...node, prefix: path.resolve(path.dirname(node.execPath), '..') };
}

/** NODE_MODULE_VERSION of the headers in `<prefix>/include/node`; undefined where there are none. */
export function headersAbi(prefix) {
  const file = path.join(prefix, 'include', 'node', 'node_version.h');
  if (!existsSync(file)) return undefined;
  const text = readFileSync(file, 'utf8');
  const direct = /^\s*#\s*define\s+NODE_MODULE_VERSION\s+(\d+)/m.exec(text);
  return direct === null ? undefined : direct[1];
}

/**
 * Finds the prefix whose `include/node` belongs to `node`'s own ABI. npm's `nodedir` may point to
 * another Node's headers, and an addon built with those would load and then read V8's memory at
 * wrong offsets. So the ABI of every candidate is read from its headers.
 */
export function findHeaders(node) {
  const cacheRoot = process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), '.cache');
  const candidates = [
    ["that Node's own prefix", node.prefix],
    ['npm_config_nodedir', process.env.npm_config_nodedir],
    ["node-gyp's cache", path.join(cacheRoot, 'node-gyp', node.version)],
  ];
  const seen = [];
  for (const [source, prefix] of candidates) {
    if (!prefix) continue;
    const abi = headersAbi(prefix);
    if (abi === node.abi) return prefix;
    const found = abi === undefined ? 'no headers' : `headers of ABI ${abi}`;
    seen.push(`  ${path.join(prefix, 'include', 'node')} (${source}): ${found}`);
  }
  throw new Error(
    `No headers for Node ${node.version} (ABI ${node.abi}). Looked at:\n${seen.join('\n')}\n` +
      `Set npm_config_nodedir to a prefix that has them, or run: npx node-gyp install ${node.version}`,
  );
}

/** Returns the path of the binary that the loader loads for `node`, whether it exists or not. */
export function binaryPath(node, root = packageRoot) {
  return path.join(
    root,
    'prebuilds',
    `${node.platform}-${node.arch}`,
    `otelpyroscope.abi${node.abi}.${node.libc}.node`,
  );
}

/** Replaces `target` by a built binary, in a new inode: a running process may have the old one mapped. */
export function publishBinary(built, target) {
  mkdirSync(path.dirname(target), { recursive: true });
  const temporary = `${target}.${process.pid}`;
  copyFileSync(built, temporary);
  renameSync(temporary, target);
}

/** Returns the node-gyp to run: the checkout's own, else that of npm. */
export function findNodeGyp() {
  const require = createRequire(import.meta.url);
  try {
    return require.resolve('node-gyp/bin/node-gyp.js');
  } catch {
    // It is no dependency of the published package.
  }
  const candidates = [
    process.env.npm_config_node_gyp,
    path.resolve(
      path.dirname(process.execPath),
      '../lib/node_modules/npm/node_modules/node-gyp/bin/node-gyp.js',
    ),
  ];
  const found = candidates.find((file) => file && existsSync(file));
  if (found === undefined)
    throw new Error('node-gyp was not found: npm install --save-dev node-gyp');
  return found;
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Runs `work` while no other process builds in `directory`. */
function withLock(directory, work) {
  const lock = path.join(directory, 'lock');
  const deadline = Date.now() + lockWaitMs;
  const sleeper = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' });
      break;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const owner = Number(existsSync(lock) ? readFileSync(lock, 'utf8') : 0);
    if (owner > 0 && !isAlive(owner)) rmSync(lock, { force: true });
    else if (Date.now() > deadline)
      throw new Error(`Process ${owner} still builds in ${directory}.`);
    else Atomics.wait(sleeper, 0, 0, 200);
  }
  try {
    return work();
  } finally {
    rmSync(lock, { force: true });
  }
}

/** Directory of a checkout where the addon for `node` is built: one for each ABI, so that they coexist. */
export function buildDirectory(node) {
  return path.join(packageRoot, '.cache', `build-abi${node.abi}-${node.libc}`);
}

/** Makes `directory` a copy of the package for one ABI: node-gyp builds only beside its binding.gyp. */
function prepare(directory) {
  const gyp = path.join(directory, 'binding.gyp');
  const text = "{ 'includes': ['native/addon.gypi'] }\n";
  // An unchanged file keeps its time stamp, so that make does not start over.
  if (!existsSync(gyp) || readFileSync(gyp, 'utf8') !== text) writeFileSync(gyp, text);
  const native = path.join(directory, 'native');
  if (!existsSync(native)) {
    rmSync(native, { force: true });
    symlinkSync(path.join(packageRoot, 'native'), native);
  }
}

function runNodeGyp(directory, headers, commands, gypArguments, options) {
  const { quiet } = options;
  const env = { ...options.env };
  // node-gyp prefers these to its arguments.
  for (const name of Object.keys(env)) {
    if (/^npm_config_(nodedir|target|runtime|disturl|dist_url|devdir|debug)$/i.test(name)) {
      delete env[name];
    }
  }
  env.npm_config_nodedir = headers;
  const output = quiet ? 'pipe' : 'inherit';
  const result = spawnSync(
    process.execPath,
    [findNodeGyp(), ...commands, '--loglevel=error', '--', ...gypArguments],
    { cwd: directory, env, encoding: 'utf8', stdio: ['ignore', output, output] },
  );
  if (result.error) throw result.error;
  if (result.status !== 0) {
    const printed = quiet ? `\n${result.stdout}${result.stderr}` : '';
    throw new Error(`node-gyp ${commands[0]} failed.${printed}`);
  }
}

/** Returns the folder of node-addon-api's headers; its own `include_dir` is relative to the working directory. */
function nodeAddonApi() {
  const require = createRequire(import.meta.url);
  return path.dirname(require.resolve('node-addon-api/package.json'));
}

/** Returns whether compiler warnings fail a build: with `--werror`, and always in CI. */
export function wantsWerror(flag) {
  return flag ?? Boolean(process.env.CI && isCheckout);
}

/**
 * Builds the addon in `directory` against the headers in the prefix `headers`, calls `publish` with
 * the path of the binary, and returns its result. Runs one build at a time in a directory.
 *
 * @param {{ directory: string, headers: string, gypArguments?: string[], arch?: string,
 *   env?: NodeJS.ProcessEnv, debug?: boolean, clean?: boolean, quiet?: boolean }} build
 *   env: has CC and CXX if the compiler is not the default one.
 */
export function buildAddon(build, publish) {
  const { directory, headers, gypArguments = [], arch, env = process.env, quiet = false } = build;
  mkdirSync(directory, { recursive: true });
  return withLock(directory, () => {
    if (build.clean) rmSync(path.join(directory, 'build'), { recursive: true, force: true });
    prepare(directory);
    const mode = [build.debug ? '--debug' : '--release', ...(arch ? [`--arch=${arch}`] : [])];
    const run = (command, gyp) => runNodeGyp(directory, headers, command, gyp, { env, quiet });
    run(['configure', ...mode], [...gypArguments, `-Dnode_addon_api=${nodeAddonApi()}`]);
    run(['build', ...mode, '--jobs=2'], []);
    const folder = build.debug ? 'Debug' : 'Release';
    return publish(path.join(directory, 'build', folder, 'otelpyroscope.node'));
  });
}

/**
 * Builds for `node` (see describeNode) and returns the path of the binary. Fails rather than
 * build against the headers of another Node.
 *
 * @param {{ werror?: boolean, debug?: boolean, clean?: boolean, quiet?: boolean }} options
 *   clean: start over; quiet: print nothing unless it fails.
 */
export function buildNative(node, options = {}) {
  const { werror, ...rest } = options;
  const build = {
    ...rest,
    directory: buildDirectory(node),
    headers: findHeaders(node),
    gypArguments: [`-Dwerror=${wantsWerror(werror) ? 1 : 0}`],
  };
  const target = binaryPath(node);
  return buildAddon(build, (built) => {
    publishBinary(built, target);
    return target;
  });
}

/** Whether this user may make files in `folder`, or make the folder. */
function isWritable(folder) {
  try {
    mkdirSync(folder, { recursive: true });
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Builds for the Node that runs this, from an installed package, whose folder stays free of what the
 * compiler makes on the way. Returns the path of the binary: where the package has its others, or,
 * if that folder cannot be written, `cacheFile`.
 *
 * @param {string | undefined} cacheFile see src/addon/binary-cache.ts
 */
export function buildInstalled(cacheFile) {
  const node = describeNode();
  const own = binaryPath(node);
  const target = isWritable(path.dirname(own)) ? own : cacheFile;
  if (target === undefined) throw new Error(`${path.dirname(own)} cannot be written.`);
  const directory = mkdtempSync(path.join(os.tmpdir(), 'otelpyroscope-build-'));
  try {
    return buildAddon({ directory, headers: findHeaders(node) }, (built) => {
      // The loader uses a cache only if nobody else can write to it.
      if (target === cacheFile) mkdirSync(path.dirname(target), { recursive: true, mode: 0o700 });
      publishBinary(built, target);
      chmodSync(target, target === cacheFile ? 0o600 : 0o644);
      return target;
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
