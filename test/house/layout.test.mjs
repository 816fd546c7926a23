/** Checks rules of the sources that no linter checks: order of folders, places of code, limits, headers. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const read = (file) => readFileSync(path.join(root, file), 'utf8');

/** Files below `directory`, relative to the root, that are written by hand. */
function filesBelow(directory) {
  if (!existsSync(path.join(root, directory))) return [];
  return readdirSync(path.join(root, directory), { withFileTypes: true }).flatMap((entry) => {
    const file = `${directory}/${entry.name}`;
    if (entry.isDirectory()) return /^node_modules$|^\./.test(entry.name) ? [] : filesBelow(file);
    return [file];
  });
}

/** Low to high: an include may name a file of the same folder or of an earlier one. */
const nativeFolders = [
  'base',
  'names',
  'symbols',
  'v8_heap',
  'code',
  'handler',
  'self_check',
  'resolve',
  'sampler',
  'threads',
  'addon',
];
/** Folders that include no header of V8, libuv or Node-API. */
const withoutV8 = ['base', 'names', 'symbols'];
/** Folders that handler/ may include from. */
const belowHandler = ['base', 'symbols', 'v8_heap', 'handler'];
/** Files that may have functions marked SIGNAL_SAFE. */
const signalSafe =
  /^native\/(base|handler)\/|^native\/v8_heap\/layout\.h$|^native\/sampler\/sampler\./;

/** High to low: an import may name a file of the same folder or of a later one. */
const sourceFolders = [
  'cli',
  'attach',
  'pull',
  'pyroscope',
  'pyroscope/protocols',
  'viewer-server',
  'otel',
  'profiler',
  'labels',
  'source-maps',
  'pprof',
  'profile',
  'options',
  'addon',
  'util',
];
/** Files in no folder: users load them. */
const entries = ['index.ts', 'index.mts', 'register-entry.ts'];
/** Folders that import, beside their own files, only util/. */
const pureFolders = ['pprof', 'util'];

/** Files that name the kind of profile. All others get it as an argument. */
const profileBegins = [
  'src/cli/attach.ts',
  'src/cli/merge-parts.ts',
  'src/cli/profiled-process.ts',
  'src/cli/run-arguments.ts',
  'src/cli/run.ts',
  'src/profiler/profile-windows.ts',
  'src/pull/pprof-handler.ts',
  'src/pull/pprof-server.ts',
  'src/pyroscope/agent.ts',
  'src/util/profile-types.ts',
];

/** Returns the names of a circle in a graph of names, or an empty list if there is none. */
function circleOf(graph) {
  const done = new Set();
  const visit = (name, above) => {
    if (above.includes(name)) return [...above.slice(above.indexOf(name)), name];
    if (done.has(name)) return [];
    for (const target of graph.get(name) ?? []) {
      const circle = visit(target, [...above, name]);
      if (circle.length > 0) return circle;
    }
    done.add(name);
    return [];
  };
  for (const name of graph.keys()) {
    const circle = visit(name, []);
    if (circle.length > 0) return circle;
  }
  return [];
}

const nativeFiles = filesBelow('native').filter((file) => /\.(cc|h)$/.test(file));
const sourceFiles = filesBelow('src').filter((file) => /\.[mc]?ts$/.test(file));
/** A header and its source are one unit. */
const unitOf = (file) => file.replace(/\.(cc|h)$/, '');

function includesOf(file) {
  return [...read(file).matchAll(/^\s*#\s*include\s*[<"]([^>"]+)[>"]/gm)].map((match) => match[1]);
}

/** Returns the text of a file without its comments. */
function codeOf(file) {
  return read(file)
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/(^|\s)\/\/.*$/gm, '$1');
}

function importsOf(file) {
  const found = codeOf(file).matchAll(
    /(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*)['"]([^'"]+)['"]/g,
  );
  return [...found].map((match) => match[1]);
}

describe('the folder native/', () => {
  const folderOf = (file) => file.split('/')[1];
  /** Returns the files of native/ that `file` includes, except its own header. */
  const ownIncludesOf = (file) =>
    includesOf(file)
      .map((include) => `native/${include}`)
      .filter((include) => nativeFiles.includes(include) && unitOf(include) !== unitOf(file));

  it('has all its files in the folders that are listed here', () => {
    assert.deepEqual(
      nativeFiles.filter((file) => !nativeFolders.includes(folderOf(file))),
      [],
    );
    const empty = nativeFolders.filter(
      (folder) => !nativeFiles.some((file) => folderOf(file) === folder),
    );
    assert.deepEqual(empty, []);
  });

  it('includes from the same folder and from lower ones', () => {
    const wrong = nativeFiles.flatMap((file) =>
      ownIncludesOf(file)
        .filter((include) => {
          const isAbove =
            nativeFolders.indexOf(folderOf(include)) > nativeFolders.indexOf(folderOf(file));
          const isForHandler =
            folderOf(file) === 'handler' && !belowHandler.includes(folderOf(include));
          return isAbove || isForHandler;
        })
        .map((include) => `${file} includes ${include}`),
    );
    assert.deepEqual(wrong, []);
  });

  it('names the folder in every include of its own', () => {
    const names = new Set(nativeFiles.map((file) => path.basename(file)));
    const wrong = nativeFiles.flatMap((file) =>
      includesOf(file)
        .filter((include) => names.has(include) || include.startsWith('.'))
        .map((include) => `${file} includes ${include}`),
    );
    assert.deepEqual(wrong, []);
  });

  it('has no circle of includes', () => {
    const units = new Map();
    for (const file of nativeFiles) {
      const unit = unitOf(file);
      units.set(unit, [...(units.get(unit) ?? []), ...ownIncludesOf(file).map(unitOf)]);
    }
    assert.deepEqual(circleOf(units), []);
  });

  it('includes no header of V8, libuv or Node-API in its lowest folders', () => {
    const wrong = nativeFiles.filter(
      (file) =>
        withoutV8.includes(folderOf(file)) &&
        includesOf(file).some((include) =>
          /^(v8|uv|node|napi|js_native_api|cppgc|libplatform)/.test(include),
        ),
    );
    assert.deepEqual(wrong, []);
  });

  it('includes <napi.h> in addon/ only', () => {
    const users = nativeFiles.filter((file) =>
      includesOf(file).some((include) => /^(napi|node_api|js_native_api)/.test(include)),
    );
    assert.ok(users.length > 0);
    assert.deepEqual(
      users.filter((file) => folderOf(file) !== 'addon'),
      [],
    );
  });

  it('marks functions as SIGNAL_SAFE only where the signal handler may call them', () => {
    const marked = nativeFiles.filter((file) => /\bSIGNAL_SAFE\b/.test(codeOf(file)));
    assert.ok(marked.length > 5);
    assert.deepEqual(
      marked.filter((file) => !signalSafe.test(file)),
      [],
    );
  });

  it('has the same sources in native/addon.gypi, in CMakeLists.txt and on disk', () => {
    const sources = nativeFiles.filter((file) => file.endsWith('.cc')).sort();
    for (const list of ['native/addon.gypi', 'CMakeLists.txt']) {
      const listed = [...read(list).matchAll(/\bnative\/\w+\/\w+\.cc\b/g)].map((match) => match[0]);
      assert.deepEqual(listed, sources, list);
    }
  });

  it('is built by both build systems with the flags that keep a signal handler safe', () => {
    for (const list of ['native/addon.gypi', 'CMakeLists.txt']) {
      for (const flag of ['-Wl,-z,nodelete', '-Wl,-z,now', '-fno-exceptions']) {
        assert.ok(read(list).includes(flag), `${list}: ${flag}`);
      }
    }
  });
});

describe('the folder src/', () => {
  const folderOf = (file) => path.dirname(file).replace(/^src\/?/, '');
  /** Returns the files of src/ that `file` imports. */
  const ownImportsOf = (file) =>
    importsOf(file)
      .filter((name) => name.startsWith('.'))
      .map((name) => path.join(path.dirname(file), name).replace(/\.(m?)js$/, '.$1ts'));

  it('has all its files, except the entries, in the folders that are listed here', () => {
    const wrong = sourceFiles.filter((file) =>
      folderOf(file) === ''
        ? !entries.includes(path.basename(file))
        : !sourceFolders.includes(folderOf(file)),
    );
    assert.deepEqual(wrong, []);
    const empty = sourceFolders.filter(
      (folder) => !sourceFiles.some((file) => folderOf(file) === folder),
    );
    assert.deepEqual(empty, []);
  });

  it('imports from the same folder and from lower ones', () => {
    const levelOf = (file) => sourceFolders.indexOf(folderOf(file));
    const wrong = sourceFiles.flatMap((file) =>
      ownImportsOf(file)
        .filter((target) => levelOf(target) < levelOf(file))
        .map((target) => `${file} imports ${target}`),
    );
    assert.deepEqual(wrong, []);
  });

  it('imports only util/ from outside in pprof/ and util/', () => {
    const wrong = sourceFiles
      .filter((file) => pureFolders.includes(folderOf(file)))
      .flatMap((file) =>
        ownImportsOf(file)
          .filter((target) => ![folderOf(file), 'util'].includes(folderOf(target)))
          .map((target) => `${file} imports ${target}`),
      );
    assert.deepEqual(wrong, []);
  });

  it('has no circle of imports', () => {
    assert.deepEqual(circleOf(new Map(sourceFiles.map((file) => [file, ownImportsOf(file)]))), []);
  });

  it('reads the environment in options/ only', () => {
    const readers = sourceFiles.filter((file) =>
      /\bprocess\s*(\??\.\s*|(\?\.)?\[.)env\b|\benv\b[^;]*\}\s*=\s*process\b|['"](node:)?process['"]/.test(
        codeOf(file),
      ),
    );
    assert.deepEqual(
      readers.filter((file) => folderOf(file) !== 'options'),
      [],
    );
  });

  it('uses timers and clocks in util/clock.ts only, which no fake clock of tests stops', () => {
    const users = sourceFiles.filter((file) =>
      /(?<![.\w])(set|clear)(Timeout|Interval|Immediate)\b|\bglobalThis\.(set|clear)|\bDate\.now\b|\bnew Date\b|\bperformance\b|\bhrtime\b|\bqueueMicrotask\b|\bnextTick\b|['"](node:)?(timers|perf_hooks)\b/.test(
        codeOf(file),
      ),
    );
    assert.deepEqual(users, ['src/attach/expressions.ts', 'src/util/clock.ts']);
  });

  it('loads the modules that tools patch at their first use, in util/lazy-modules.ts', () => {
    const users = sourceFiles.filter((file) =>
      /^import (?!type )[^;]*['"]node:(https?|net|tls|zlib|dns)['"]|\brequire\('node:/m.test(
        codeOf(file),
      ),
    );
    assert.deepEqual(users, ['src/util/lazy-modules.ts']);
  });

  it('loads the binary in addon/ only', () => {
    const loaders = sourceFiles.filter((file) =>
      /\bdlopen\b|\.node['"`]|\bcreateRequire\b|['"](node-gyp-build|bindings)['"]|\brequire\s*\((?!'\.{1,2}\/[\w/-]+\.js'|'node:)/.test(
        codeOf(file),
      ),
    );
    assert.deepEqual(
      // The expressions load this package into another process.
      loaders.filter((file) => folderOf(file) !== 'addon' && file !== 'src/attach/expressions.ts'),
      [],
    );
    assert.ok(loaders.length > 0);
  });

  it('has the names of a kind of profile in the row of profile-types.ts only', () => {
    const users = sourceFiles.filter((file) =>
      /process_cpu|['"`]cpu['"`]|cpu\/nanoseconds|samples\/count|\bcpu\.pb\b|\/debug\/pprof\/(?!\.\.\.)/.test(
        codeOf(file),
      ),
    );
    assert.deepEqual(users, ['src/util/profile-types.ts']);
  });

  it('names CPU_PROFILE only where a profile begins', () => {
    const users = sourceFiles.filter((file) => /\bCPU_PROFILE\b/.test(codeOf(file)));
    assert.deepEqual(
      users.filter((file) => !profileBegins.includes(file)),
      [],
    );
  });

  it('has no default export, and no export * in the index', () => {
    for (const file of sourceFiles) assert.doesNotMatch(codeOf(file), /\bexport\s+default\b/, file);
    for (const file of ['src/index.ts', 'src/index.mts']) {
      assert.doesNotMatch(codeOf(file), /\bexport\s*\*/, file);
    }
  });

  it('has files with names in kebab-case', () => {
    const wrong = sourceFiles.filter(
      (file) => !/^[a-z0-9]+(-[a-z0-9]+)*\.[mc]?ts$/.test(path.basename(file)),
    );
    assert.deepEqual(wrong, []);
  });
});

describe('ARCHITECTURE.md', () => {
  const page = read('ARCHITECTURE.md');

  it('has one row for every folder, in their order', () => {
    const rows = [...page.matchAll(/^\| `((?:native|src)\/[^`]+)\/` \|/gm)].map(
      (match) => match[1],
    );
    assert.deepEqual(rows, [
      ...nativeFolders.map((folder) => `native/${folder}`),
      ...sourceFolders.map((folder) => `src/${folder}`),
    ]);
  });

  it('has limits with the values that the code has', () => {
    const plain = (value) => value.replace(/size_t\{(\d+)\}/g, '$1').replace(/[\s,_']/g, '');
    const section = /^## Limits\n([\s\S]*?)^## /m.exec(page)[1];
    const rows = section.split('\n').filter((line) => /^\| (?!Limit )\w/.test(line));
    assert.ok(rows.length > 20);
    const wrong = rows.flatMap((row) => {
      const files = [...row.matchAll(/`((?:native|src|viewer)\/[^`]+)`/g)].map((match) => match[1]);
      const constants = [...row.matchAll(/`([\w ]+) = ([^`]+)`/g)];
      if (constants.length === 0) return [row];
      const text = files.map(codeOf).join('\n');
      return constants
        .filter(([, name, value]) => {
          const found = text.matchAll(new RegExp(`\\b${name}'?(?: =|:) ([^;\\n]*[^;,\\n])`, 'g'));
          return ![...found].some((match) => plain(match[1]) === plain(value));
        })
        .map(([constant]) => `${constant} in ${files.join(', ')}`);
    });
    assert.deepEqual(wrong, []);
  });

  it('is no longer than 220 lines', () => {
    assert.ok(page.trimEnd().split('\n').length <= 220);
  });
});

describe('every file', () => {
  const written = ['native', 'src', 'viewer', 'scripts', 'test', 'bench', 'examples', '.ci']
    .flatMap(filesBelow)
    .concat(['CMakeLists.txt', 'eslint.config.mjs'])
    .filter((file) => /\.(cc|h|[mc]?[jt]s|gyp|txt|sh)$|\.ci\/run$/.test(file));

  it('opens with a sentence of purpose', () => {
    assert.ok(written.length > 20);
    const wrong = written.filter((file) => {
      // Its header has the sentence.
      if (file.startsWith('native/') && written.includes(file.replace(/\.cc$/, '.h'))) return false;
      const text = read(file).replace(/^#!.*\n/, '');
      const comment = /^(?:\/\*\*?([\s\S]*?)\*\/|((?:(?:\/\/|#)[^\n]*\n)+))/.exec(text);
      if (comment === null) return true;
      const words = (comment[1] ?? comment[2]).replace(/^\s*(\/\/|#|\*)/gm, '').trim();
      return !/^\S[\s\S]{15,}?[.:](\s|$)/.test(words);
    });
    assert.deepEqual(wrong, []);
  });

  it('begins no comment with "What", "Whose" or "Of", after which a subject is missing', () => {
    // Not the further lines of a comment, which begin with any word.
    const headless =
      /\/\*\*?\s+(?:\* )?(?:What|Whose|Of) .*|(?<!\/\/.*\n\s*)\/\/ (?:What|Whose|Of) .*/g;
    const wrong = written.flatMap((file) =>
      [...read(file).matchAll(headless)].map(([comment]) => `${file}: ${comment}`),
    );
    assert.deepEqual(wrong, []);
  });

  it('has at most 400 lines of code', () => {
    const tooLong = written
      .filter((file) => /^(native|src|viewer|scripts)\//.test(file))
      .map((file) => ({
        file,
        lines: codeOf(file)
          .split('\n')
          .filter((line) => line.trim() !== '').length,
      }))
      .filter(({ lines }) => lines > 400);
    assert.deepEqual(tooLong, []);
  });
});
