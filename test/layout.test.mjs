/** Checks the house rules that no linter knows: who may import whom, and what each file must say. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
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

/**
 * Low to high: an include may name an earlier layer, or an earlier file of its own layer.
 * A new file of native/ needs its place here.
 */
const nativeLayers = [
  [
    'signal_safety',
    'debug_check',
    'label_slot',
    'sample_ring',
    'symbol_name',
    'event_names',
    'function_name',
  ],
  [
    'cpu_timer',
    'safe_memory',
    'stack_bounds',
    'process_maps',
    'elf_file',
    'loaded_files',
    'elf_symbols',
  ],
  [
    'v8_layout',
    'object_handle',
    'collection_canary',
    'exported_offsets',
    'variable_length',
    'source_positions',
    'baseline_positions',
    'heap_reader',
    'heap_string',
    'heap_function',
    'wasm_modules',
    'builtin_table',
    'async_context',
    'code_object',
    'code_map',
    'code_map_heap',
    'heap_anchor',
    'code_ranges',
    'inlining',
    'script_lines',
    'stack_table',
    'sample_windows',
    'flat_batch',
    'stack_sample',
    'stack_resolver',
    'known_stack',
    'layout_check',
    'late_code',
    'heap_code',
    'sampler',
    'sampler_events',
    'sampler_places',
    'profile_process',
    'profiled_thread',
    'thread_requests',
  ],
  ['js_values', 'addon'],
];
const nativeOrder = nativeLayers.flat();
const layerOf = (unit) => nativeLayers.findIndex((units) => units.includes(unit));

/** High to low: an import may only name a later file. A new file of src/ needs its place here. */
const sourceOrder = [
  'cli/main.ts',
  'cli/run.ts',
  'cli/summary.ts',
  'cli/top.ts',
  'cli/view.ts',
  'cli/profile-file.ts',
  'cli/open-browser.ts',
  'cli/arguments.ts',
  'cli/text.ts',
  'cli/preload.ts',
  'index.mts',
  'index.ts',
  'register-entry.ts',
  'pull.ts',
  'pyroscope/agent.ts',
  'pyroscope/uploader.ts',
  'pyroscope/upload-attempt.ts',
  'pyroscope/upload-request.ts',
  'pyroscope/upload-answer.ts',
  'pyroscope/upload-queue.ts',
  'pyroscope/label-names.ts',
  'pyroscope/otlp.ts',
  'pyroscope/otlp-dictionary.ts',
  'pyroscope/otlp-fields.ts',
  'pyroscope/profile-limits.ts',
  'pyroscope/pprof-parts.ts',
  'pyroscope/pprof-index.ts',
  'register.ts',
  'api-globals.ts',
  'tracer-provider.ts',
  'span-processor.ts',
  'pass-through.ts',
  'with-labels.ts',
  'live-viewer.ts',
  'live-profile.ts',
  'context-patch.ts',
  'own-work.ts',
  'span-labels.ts',
  'cpu-profiler.ts',
  'shared-sampler.ts',
  'thread-sampler.ts',
  'active-labels.ts',
  'label-slot.ts',
  'label-table.ts',
  'ended-sets.ts',
  'label-set.ts',
  'label-rules.ts',
  'source-maps.ts',
  'map-files.ts',
  'mapped-file.ts',
  'compiled-text.ts',
  'source-map-mappings.ts',
  'source-map-json.ts',
  'file-steps.ts',
  'pprof.ts',
  'pprof-samples.ts',
  'options-pyroscope.ts',
  'options-environment.ts',
  'viewer-server.ts',
  'viewer-source.ts',
  'viewer-api.ts',
  'call-tree.ts',
  'profile-query.ts',
  'profile-ring.ts',
  'profile-reader.ts',
  'profile-decoder.ts',
  'profile-labels.ts',
  'profile-read-limits.ts',
  'profile-model.ts',
  'protobuf-reader.ts',
  'request-guard.ts',
  'string-list.ts',
  'field-list.ts',
  'number-key.ts',
  'growing-maps.ts',
  'gunzip.ts',
  'slices.ts',
  'options.ts',
  'native.ts',
  'deprecated.ts',
  'errors.ts',
  'diagnostics.ts',
  'service.ts',
  'process-wide.ts',
  'version.ts',
];

const nativeFiles = filesBelow('native').filter((file) => /\.(cc|h)$/.test(file));
const sourceFiles = filesBelow('src').filter((file) => /\.[mc]?ts$/.test(file));
const unitOf = (file) => path.basename(file).replace(/\.(cc|h)$/, '');

function includesOf(file) {
  return [...read(file).matchAll(/^\s*#\s*include\s*[<"]([^>"]+)[>"]/gm)].map((match) => match[1]);
}

/** Comments removed, for rules about code. */
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

describe('layout of native/', () => {
  it('has a place in a layer for every file', () => {
    assert.ok(nativeFiles.length > 0);
    const unknown = nativeFiles.filter((file) => !nativeOrder.includes(unitOf(file)));
    assert.deepEqual(unknown, []);
  });

  it('includes downwards only', () => {
    const wrong = [];
    for (const file of nativeFiles) {
      for (const include of includesOf(file)) {
        const target = unitOf(include);
        if (!existsSync(path.join(root, 'native', include)) || target === unitOf(file)) continue;
        if (nativeOrder.indexOf(target) >= nativeOrder.indexOf(unitOf(file))) {
          wrong.push(`${file} includes ${include}`);
        }
      }
    }
    assert.deepEqual(wrong, []);
  });

  it('knows neither V8 nor libuv below layer 2', () => {
    const wrong = nativeFiles.filter(
      (file) =>
        layerOf(unitOf(file)) < 2 &&
        includesOf(file).some((include) => /^(v8|uv|node|cppgc|libplatform)\b/.test(include)),
    );
    assert.deepEqual(wrong, []);
  });

  it('includes <napi.h> in the uppermost layer alone', () => {
    const users = nativeFiles.filter((file) =>
      includesOf(file).some((include) => /^(napi|node_api|js_native_api)/.test(include)),
    );
    assert.deepEqual(users.sort(), ['native/addon.cc', 'native/js_values.h']);
  });

  it('is listed whole in binding.gyp and in CMakeLists.txt', () => {
    const sources = nativeFiles.filter((file) => file.endsWith('.cc')).sort();
    for (const list of ['binding.gyp', 'CMakeLists.txt']) {
      const listed = [...read(list).matchAll(/\bnative\/\w+\.cc\b/g)].map((match) => match[0]);
      assert.deepEqual(listed, sources, list);
    }
  });

  it('gives both build systems the flags that keep a signal handler safe', () => {
    for (const list of ['binding.gyp', 'CMakeLists.txt']) {
      for (const flag of ['-Wl,-z,nodelete', '-Wl,-z,now', '-fno-exceptions']) {
        assert.ok(read(list).includes(flag), `${list}: ${flag}`);
      }
    }
  });
});

describe('layout of src/', () => {
  it('has a place for every file', () => {
    assert.ok(sourceFiles.length > 0);
    const unknown = sourceFiles.filter((file) => !sourceOrder.includes(file.slice('src/'.length)));
    assert.deepEqual(unknown, []);
  });

  it('imports one way', () => {
    const wrong = [];
    for (const file of sourceFiles) {
      const from = sourceOrder.indexOf(file.slice('src/'.length));
      for (const specifier of importsOf(file).filter((name) => name.startsWith('.'))) {
        const target = path
          .relative('src', path.join(path.dirname(file), specifier))
          .replace(/\.(m|c)?js$/, '.$1ts');
        if (sourceOrder.indexOf(target) <= from) wrong.push(`${file} imports ${specifier}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  it('reads the environment in options.ts alone', () => {
    const readers = sourceFiles.filter((file) => /\bprocess\s*(\.|\[.)env\b/.test(codeOf(file)));
    assert.deepEqual(
      readers.filter((file) => file !== 'src/options.ts'),
      [],
    );
  });

  it('loads the binary in native.ts alone', () => {
    const loaders = sourceFiles.filter((file) =>
      /\bdlopen\b|\.node['"`]|\bcreateRequire\b|\brequire\s*\((?!'\.\/[\w-]+\.js')/.test(
        codeOf(file),
      ),
    );
    assert.deepEqual(loaders, ['src/native.ts']);
  });

  it('exports names, and explicitly from the index', () => {
    for (const file of sourceFiles) assert.doesNotMatch(codeOf(file), /\bexport\s+default\b/, file);
    for (const file of ['src/index.ts', 'src/index.mts']) {
      assert.doesNotMatch(codeOf(file), /\bexport\s*\*/, file);
    }
  });

  it('names files in kebab-case', () => {
    const wrong = sourceFiles.filter(
      (file) => !/^[a-z0-9]+(-[a-z0-9]+)*\.[mc]?ts$/.test(path.basename(file)),
    );
    assert.deepEqual(wrong, []);
  });
});

describe('every file', () => {
  const written = ['native', 'src', 'viewer', 'scripts', 'test', 'examples', 'bin', '.ci']
    .flatMap(filesBelow)
    .concat(['binding.gyp', 'CMakeLists.txt', 'eslint.config.mjs'])
    .filter((file) => /\.(cc|h|[mc]?[jt]s|gyp|txt|sh)$|\.ci\/run$/.test(file));

  it('opens with a sentence of purpose', () => {
    assert.ok(written.length > 20);
    const wrong = written.filter((file) => {
      const text = read(file).replace(/^#!.*\n/, '');
      const comment = /^(?:\/\*\*?([\s\S]*?)\*\/|((?:(?:\/\/|#)[^\n]*\n)+))/.exec(text);
      if (comment === null) return true;
      const words = (comment[1] ?? comment[2]).replace(/^\s*(\/\/|#|\*)/gm, '').trim();
      return !/^\S[\s\S]{15,}?[.:](\s|$)/.test(words);
    });
    assert.deepEqual(wrong, []);
  });

  it('has about 300 lines of code at most', () => {
    const tooLong = written
      .filter((file) => /^(native|src|viewer|scripts)\//.test(file))
      .map((file) => ({
        file,
        lines: codeOf(file)
          .split('\n')
          .filter((line) => line.trim() !== '').length,
      }))
      .filter(({ lines }) => lines > 300);
    assert.deepEqual(tooLong, []);
  });
});
