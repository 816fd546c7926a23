// Reads the code that a sample has hit from V8's heap: which function each
// frame belongs to, and where its code begins and ends.
//
// V8 reports all code that it makes and moves to a listener, but makes and
// moves it more slowly as long as one listens, whether a sample ever hits the
// code or not. Here, only code that samples have hit is read.
#ifndef NATIVE_RESOLVE_CODE_FINDER_H_
#define NATIVE_RESOLVE_CODE_FINDER_H_

#include <cstddef>
#include <cstdint>

#include "code/code_anchor.h"
#include "code/code_map.h"
#include "code/wasm_modules.h"
#include "handler/sample.h"
#include "resolve/resolve_counts.h"
#include "resolve/stack_table.h"
#include "symbols/builtin_table.h"
#include "v8.h"
#include "v8_heap/code_object.h"
#include "v8_heap/script_lines.h"

namespace otelpyroscope {

// Not thread-safe: on the isolate's thread only, outside the signal handler.
class CodeFinder {
 public:
  // All arguments outlive the finder.
  CodeFinder(const StackTable* table, CodeMap* code_map, ScriptLines* lines,
             WasmModules* wasm_modules, ResolveCounts* counts)
      : table_(table),
        code_map_(code_map),
        lines_(lines),
        wasm_modules_(wasm_modules),
        counts_(counts) {}

  // Returns whether functions and builtins can be identified in this process.
  // Not on arm64: there, in one process of twenty under an emulator, the Code
  // objects of some pages of code were not recognized. Called when sampling
  // starts, also in an interrupt of V8.
  bool Init(v8::Isolate* isolate);

  // Adds the code of the sample's frames to the code map, unless the table
  // knows them, and records their scripts and modules. Called in the drain,
  // only while nothing has moved since the sample was taken.
  void Learn(const SampleHeader& header, const uintptr_t* frames);

  // Called in the drain for a sample since which code may have moved: makes
  // code usable again that the map knew before, if its anchor shows that it is
  // still there. Reads nothing else.
  void FindAgain(const SampleHeader& header, const uintptr_t* frames);

  // Whether code is hardly ever found where it should be, so that V8's layout
  // differs from the table. Any of V8's callbacks may ask.
  bool LayoutSeemsWrong() const {
    return CodeObject::MissesOwners() ||
           (failures_ >= kWrongLayoutFailures && failures_ > successes_);
  }

  // Forgets addresses at which no code was found, because other code may be
  // there since. Called in the drain and in callbacks of the collector.
  void ForgetAddresses() { misses_.Clear(); }

 private:
  // Finds the code of one sample; see code_finder.cc.
  class Learner;

  static constexpr uint64_t kWrongLayoutFailures = 16;

  const StackTable* const table_;
  CodeMap* const code_map_;
  ScriptLines* const lines_;
  WasmModules* const wasm_modules_;
  ResolveCounts* const counts_;
  v8::Isolate* isolate_ = nullptr;
  const BuiltinTable* builtins_ = nullptr;
  MissedCode misses_;
  uint64_t failures_ = 0;   // of searches for machine code
  uint64_t successes_ = 0;  // of these
};

}  // namespace otelpyroscope

#endif  // NATIVE_RESOLVE_CODE_FINDER_H_
