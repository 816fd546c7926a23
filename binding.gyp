# Builds the addon with node-gyp; CMakeLists.txt builds the same sources with cmake-js.
# `npm run build:native` is the usual way in (scripts/build-native.mjs).
{
  'variables': {
    # 1: compiler warnings are errors (-Dwerror=1).
    'werror%': 0,
  },
  'targets': [
    {
      'target_name': 'otelpyroscope',
      'conditions': [
        ['OS=="linux"', {
          'sources': [
            'native/addon.cc',
            'native/async_context.cc',
            'native/baseline_positions.cc',
            'native/builtin_table.cc',
            'native/code_map.cc',
            'native/code_map_heap.cc',
            'native/code_object.cc',
            'native/code_ranges.cc',
            'native/collection_canary.cc',
            'native/cpu_timer.cc',
            'native/elf_file.cc',
            'native/elf_symbols.cc',
            'native/event_names.cc',
            'native/exported_offsets.cc',
            'native/flat_batch.cc',
            'native/function_name.cc',
            'native/heap_anchor.cc',
            'native/heap_code.cc',
            'native/heap_function.cc',
            'native/heap_reader.cc',
            'native/heap_string.cc',
            'native/inlining.cc',
            'native/js_values.cc',
            'native/known_stack.cc',
            'native/late_code.cc',
            'native/layout_check.cc',
            'native/loaded_files.cc',
            'native/process_maps.cc',
            'native/profiled_thread.cc',
            'native/safe_memory.cc',
            'native/sample_windows.cc',
            'native/sampler.cc',
            'native/sampler_events.cc',
            'native/sampler_places.cc',
            'native/script_lines.cc',
            'native/source_positions.cc',
            'native/stack_bounds.cc',
            'native/stack_resolver.cc',
            'native/stack_sample.cc',
            'native/stack_table.cc',
            'native/symbol_name.cc',
            'native/thread_requests.cc',
            'native/v8_layout.cc',
            'native/wasm_modules.cc',
          ],
          'defines': [
            'NODE_ADDON_API_DISABLE_CPP_EXCEPTIONS',
            'NODE_ADDON_API_DISABLE_DEPRECATED',
            # A terminated worker refuses calls at any moment: that is no reason to abort.
            'NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS',
          ],
          'cflags!': ['-O3'],
          'cflags': ['-O2', '-g1', '-fvisibility=hidden', '-Wall', '-Wextra'],
          # Node 20 and 22 ask for C++17; their headers compile as C++20 too.
          'cflags_cc!': ['-std=gnu++17'],
          'cflags_cc': [
            '-std=gnu++20',
            '-fno-exceptions',
            # Other people's headers are system headers: their warnings are not ours.
            '-isystem', '<(node_root_dir)/include/node',
            '-isystem', "<!(node -p \"require('path').resolve(require('node-addon-api').include_dir)\")",
          ],
          'ldflags': [
            # A signal may arrive after the last environment that used the addon is gone.
            '-Wl,-z,nodelete',
            # The signal handler must never enter the dynamic linker to bind a symbol.
            '-Wl,-z,now',
          ],
          'conditions': [
            ['werror==1', { 'cflags': ['-Werror'] }],
          ],
        }, {
          # No sampler here; the package still installs, and labels work without the binary.
          'type': 'none',
        }],
      ],
    },
  ],
}
