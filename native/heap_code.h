// Learns what code a sample has met from V8's heap: which function each frame
// is of, and where its code begins and ends.
//
// V8 tells a listener of all code that it makes and moves, but then makes and
// moves it more slowly: for as long as one listens, and whether a sample ever
// hits the code or not. Here nothing is read but what samples have hit.
#ifndef NATIVE_HEAP_CODE_H_
#define NATIVE_HEAP_CODE_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "builtin_table.h"
#include "code_map.h"
#include "code_object.h"
#include "heap_anchor.h"
#include "script_lines.h"
#include "stack_sample.h"
#include "stack_table.h"
#include "v8.h"
#include "wasm_modules.h"

namespace otelpyroscope {

// Not thread-safe: the isolate's thread only.
class HeapCode {
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
  bool IsHopeless() const {
    return CodeObject::MissesOwners() ||
           (failures_ >= kHopelessFailures && failures_ > successes_);
  }

  // Code may have moved, or be gone.
  void ForgetPlaces() { misses_.Clear(); }

 private:
  static constexpr uint64_t kHopelessFailures = 16;
  // Each handle costs a collection some nanoseconds.
  static constexpr size_t kMaxAnchored = 20000;

  void LearnLeaf(const SampleHeader& header);
  void LearnOne(uintptr_t address, bool is_exact, uintptr_t function,
                uintptr_t other);
  void LearnMachineCode(uintptr_t address, uintptr_t function, uintptr_t other);
  bool NameRegExp(const FoundCode& found);
  void CountFailure();
  void LearnOptimized(const FoundCode& found, uintptr_t shared);
  bool LearnBaseline(const FoundCode& found, uintptr_t bytecode,
                     uintptr_t function, bool is_certain);
  void LearnBytecode(uintptr_t address, uintptr_t function);
  void NoteWasm(const SampleHeader& header, const uintptr_t* frames,
                const StackTable& table);
  std::shared_ptr<CodeFunction> FunctionOf(uintptr_t shared);
  std::unique_ptr<const CodeAnchor> AnchorOf(uintptr_t object,
                                             const AnchorWords& words);
  std::unique_ptr<const CodeAnchor> AnchorOf(const FoundCode& found);

  v8::Isolate* isolate_ = nullptr;
  const BuiltinTable* builtins_ = nullptr;
  MissedCode misses_;
  uint64_t failures_ = 0;   // to find machine code
  uint64_t successes_ = 0;  // in finding it
  // What is looked at may be a leftover, of objects that are dead: they must
  // get no handles.
  bool is_guess_ = false;
  // While it learns.
  CodeMap* code_map_ = nullptr;
  ScriptLines* lines_ = nullptr;
  WasmModules* wasm_modules_ = nullptr;
  ResolveCounts* counts_ = nullptr;
  // Of the stack, of a leaf without a function.
  const uintptr_t* words_ = nullptr;
  const uintptr_t* words_end_ = nullptr;
};

}  // namespace otelpyroscope

#endif  // NATIVE_HEAP_CODE_H_
