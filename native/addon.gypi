# Builds the addon with node-gyp; CMakeLists.txt builds the same sources with cmake-js.
# `npm run build:native` is the usual way in (scripts/build-native.mjs), which also gives
# `node_addon_api`: the folder of its headers. Included by ../binding.gyp, which is not published: in
# the root of an installed package, npm, pnpm and Yarn take a binding.gyp for an install script.
{
  'variables': {
    # 1: compiler warnings are errors (-Dwerror=1).
    'werror%': 0,
    # Relative to the folder of the including file, which has native/. Lists of paths under gyp's own
    # names would be taken for relative to this file, through symbolic links.
    'addon_headers': 'native',
    'addon_sources': [
      'native/addon/addon.cc',
      'native/addon/batch_arrays.cc',
      'native/addon/js_values.cc',
      'native/addon/label_functions.cc',
      'native/base/safe_memory.cc',
      'native/code/code_anchor.cc',
      'native/code/code_map.cc',
      'native/code/code_ranges.cc',
      'native/code/source_map_texts.cc',
      'native/code/wasm_modules.cc',
      'native/handler/carried_label.cc',
      'native/handler/context_label.cc',
      'native/handler/cpu_timer.cc',
      'native/handler/ending_signal.cc',
      'native/handler/object_properties.cc',
      'native/handler/running_resource.cc',
      'native/handler/signal_frame.cc',
      'native/handler/signal_thread.cc',
      'native/handler/stack_bounds.cc',
      'native/handler/stack_walker.cc',
      'native/handler/task_clock.cc',
      'native/handler/timer_signals.cc',
      'native/names/code_event_names.cc',
      'native/names/demangle.cc',
      'native/names/function_name.cc',
      'native/resolve/code_finder.cc',
      'native/resolve/osr_code_finder.cc',
      'native/resolve/stack_resolver.cc',
      'native/resolve/stack_table.cc',
      'native/sampler/code_event_listener.cc',
      'native/sampler/collection_canary.cc',
      'native/sampler/sampler.cc',
      'native/self_check/known_stack.cc',
      'native/self_check/layout_check.cc',
      'native/symbols/builtin_table.cc',
      'native/symbols/elf_file.cc',
      'native/symbols/loaded_files.cc',
      'native/symbols/second_mapping.cc',
      'native/symbols/symbol_index.cc',
      'native/threads/end_watch.cc',
      'native/threads/label_reader.cc',
      'native/threads/profile_windows.cc',
      'native/threads/profiled_thread.cc',
      'native/v8_heap/baseline_positions.cc',
      'native/v8_heap/code_object.cc',
      'native/v8_heap/code_reader.cc',
      'native/v8_heap/exported_offsets.cc',
      'native/v8_heap/heap_function.cc',
      'native/v8_heap/heap_reader.cc',
      'native/v8_heap/heap_string.cc',
      'native/v8_heap/layout.cc',
      'native/v8_heap/script_lines.cc',
      'native/v8_heap/source_positions.cc',
    ],
  },
  'targets': [
    {
      'target_name': 'otelpyroscope',
      'conditions': [
        ['OS=="linux"', {
          'sources': ['<@(addon_sources)'],
          'include_dirs': ['<(addon_headers)'],
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
            '-isystem', '<(node_addon_api)',
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
