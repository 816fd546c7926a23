// Learns what code a sample has met from V8's heap: which function each frame
// is of, and where its code begins and ends.
//
// V8 tells a listener of all code that it makes and moves, but then makes and
// moves it more slowly: for as long as one listens, and whether a sample ever
// hits the code or not. Here nothing is read but what samples have hit.
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

// Not thread-safe: the isolate's thread only.
class CodeFinder {
 public:
  // Whether functions and builtins can be told in this process. Not on arm64:
  // there, in one process of twenty under an emulator, the Code objects of some
  // pages of code were not recognized.
  bool Init(v8::Isolate* isolate);

  // Adds to `code_map` what the sample's frames are in, as far as `table` does
  // not know them, and notes their scripts and modules. Only while nothing has
  // moved since the sample was taken.
  void Learn(const SampleHeader& header, const uintptr_t* frames,
             const StackTable& table, CodeMap* code_map, ScriptLines* lines,
             WasmModules* wasm_modules, ResolveCounts* counts);

  // The same for a sample since which code may have moved: code that the map
  // knew before is found again where its anchor shows that it is still there.
  // Reads nothing else.
  static void FindAgain(const SampleHeader& header, const uintptr_t* frames,
                        CodeMap* code_map);

  // Whether code is hardly ever found where it should be: V8's layout is
  // another one than the table says.
  bool LayoutSeemsWrong() const {
    return CodeObject::MissesOwners() ||
           (failures_ >= kWrongLayoutFailures && failures_ > successes_);
  }

  // Code may have moved, or be gone.
  void ForgetAddresses() { misses_.Clear(); }

 private:
  // Finds the code of one sample; see code_finder.cc.
  class Learner;

  static constexpr uint64_t kWrongLayoutFailures = 16;

  v8::Isolate* isolate_ = nullptr;
  const BuiltinTable* builtins_ = nullptr;
  MissedCode misses_;
  uint64_t failures_ = 0;   // to find machine code
  uint64_t successes_ = 0;  // in finding it
};

}  // namespace otelpyroscope

#endif  // NATIVE_RESOLVE_CODE_FINDER_H_
