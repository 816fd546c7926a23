// Reads from V8's heap what code was compiled from: source positions and
// inlined calls.
//
// V8 expands inlined frames for callers only, so the CPU of an inlined leaf
// would be attributed to its caller. Everything here is read lazily, for
// sampled code only, and before the collector can move it. Each object is
// copied by a read that cannot fault, and used only after its checks.
#ifndef NATIVE_V8_HEAP_CODE_READER_H_
#define NATIVE_V8_HEAP_CODE_READER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "v8.h"
#include "v8_heap/function_id.h"
#include "v8_heap/source_positions.h"

namespace otelpyroscope {

// May be called in the drain and in the self-check, on the isolate's thread.
// Never in the signal handler.
class CodeReader {
 public:
  // How much of the table of offsets was found right in this process: see
  // layout_check.h.
  enum class Trust : uint8_t { kUnchecked, kFunctions, kAll, kNone };
  static Trust GetTrust();
  static void SetTrust(Trust checked);

  // Whether functions can be identified by the heap alone: positions are read,
  // and the table was found right about names and starts of functions.
  static bool CanIdentifyFunctions();
  static void SetCanIdentifyFunctions(bool can);

  // Whether positions can be read in this process, if the table is right.
  // Probes once.
  static bool Possible();
  // Whether positions are read: they can be, and the table was found right.
  static bool Available();

  // Reads positions and inlined calls of optimized code. Returns null if there
  // is no such code, or if a check fails, which is added to `failures`.
  static std::shared_ptr<const CodePositions> ReadOptimized(
      uintptr_t code_start, size_t code_size, uint64_t* failures);

  // Reads the positions of baseline code, which are those of its bytecode.
  // Returns null as ReadOptimized() does.
  static std::shared_ptr<const CodePositions> ReadBaseline(uintptr_t code_start,
                                                           size_t code_size,
                                                           uint64_t* failures);

  // Reads the positions of bytecode. Returns null as ReadOptimized() does.
  static std::shared_ptr<const CodePositions> ReadBytecode(uintptr_t code_start,
                                                           size_t code_size,
                                                           uint64_t* failures);

  // Returns the address of the bytecode array's word that refers to its
  // position table, and the table.
  static bool ReadBytecodeTable(uintptr_t code_start, uintptr_t* word,
                                uintptr_t* table);

  // For layout_check.h: reads positions whether the table is trusted or not.
  // Returns false if a check fails.
  static bool CheckBytecode(uintptr_t code_start, size_t code_size,
                            std::vector<CodePosition>* positions);

  // Returns the function that a JSFunction runs; unknown if it is a builtin's,
  // or not a JSFunction.
  static FunctionId FunctionOf(uintptr_t object);

  // Returns the function of a code event; `script_id` is that of `script`. May
  // be called in V8's callbacks.
  static FunctionId ReadFunctionId(v8::Local<v8::UnboundScript> script,
                                   int script_id);

  // Converts between a bytecode array and the start of its bytecode.
  static uintptr_t BytecodeStart(uintptr_t array);
  static uintptr_t BytecodeArrayAt(uintptr_t code_start);

  // Returns the interpreter's offset in the bytecode that begins at
  // `code_start`, by its registers; or -1 if they do not refer to that
  // bytecode.
  static int64_t BytecodeOffset(uintptr_t array_register,
                                uintptr_t offset_register, uintptr_t code_start,
                                size_t code_size);
};

}  // namespace otelpyroscope

#endif  // NATIVE_V8_HEAP_CODE_READER_H_
