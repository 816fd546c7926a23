// Where code came from: source positions and inlined calls, read from V8's
// heap.
//
// V8 expands inlined frames for callers at most, so the CPU of an inlined leaf
// would go to its caller. Everything here is lazy, for sampled code only, and
// is read before the collector can move it. Each object is copied by a read
// that cannot fault, and believed only after its checks.
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

class CodeReader {
 public:
  // How far the table of offsets has been found right in this process: see
  // layout_check.h.
  enum class Trust : uint8_t { kUnchecked, kFunctions, kAll, kNone };
  static Trust GetTrust();
  static void SetTrust(Trust checked);

  // Whether the table has been found right about names and places of functions,
  // so that functions can be told by the heap alone.
  static bool KnowsFunctions();
  static void SetKnowsFunctions(bool knows);

  // Whether positions might be read in this process. Probes once.
  static bool Possible();
  // Whether they are read.
  static bool Available();

  // Of optimized code: positions and inlined calls. Null: no such code, or a
  // check failed, which adds to `failures`.
  static std::shared_ptr<const CodePositions> ReadOptimized(
      uintptr_t code_start, size_t code_size, uint64_t* failures);

  // Of baseline code: its positions, as its bytecode has them.
  static std::shared_ptr<const CodePositions> ReadBaseline(uintptr_t code_start,
                                                           size_t code_size,
                                                           uint64_t* failures);

  // Of bytecode: its positions.
  static std::shared_ptr<const CodePositions> ReadBytecode(uintptr_t code_start,
                                                           size_t code_size,
                                                           uint64_t* failures);

  // The word of a bytecode array that has its position table, and that table.
  static bool ReadBytecodeTable(uintptr_t code_start, uintptr_t* word,
                                uintptr_t* table);

  // For layout_check.h: read whether trusted or not. False where a check fails.
  static bool CheckBytecode(uintptr_t code_start, size_t code_size,
                            std::vector<CodePosition>* positions);

  // Which function a JSFunction is; unknown: a builtin's, or not one.
  static FunctionId FunctionOf(uintptr_t object);

  // The function behind a code event; `script_id` is that of `script`.
  static FunctionId ReadFunctionId(v8::Local<v8::UnboundScript> script,
                                   int script_id);

  // Where the bytecode of an array begins, and the array whose begins there.
  static uintptr_t BytecodeStart(uintptr_t array);
  static uintptr_t BytecodeArrayAt(uintptr_t code_start);

  // What the interpreter's registers say: the offset in the bytecode that
  // begins at `code_start`, or -1 where they are about something else.
  static int64_t BytecodeOffset(uintptr_t array_register,
                                uintptr_t offset_register, uintptr_t code_start,
                                size_t code_size);
};

}  // namespace otelpyroscope

#endif  // NATIVE_V8_HEAP_CODE_READER_H_
