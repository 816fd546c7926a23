// Finds the Code objects of machine code on V8's heap.
//
// All reads are safe, and checked: a Code object itself contains the start and
// the size of its code.
#ifndef NATIVE_V8_HEAP_CODE_OBJECT_H_
#define NATIVE_V8_HEAP_CODE_OBJECT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_set>

#include "symbols/builtin_table.h"

namespace otelpyroscope {

// A range of machine code, and its Code object.
struct FoundCode {
  uintptr_t start = 0;
  size_t size = 0;
  uintptr_t code = 0;
};

// A word of V8's heap, with its value when the code was read.
struct AnchorWord {
  uintptr_t address = 0;  // 0: none
  uintptr_t value = 0;
};
using AnchorWords = std::array<AnchorWord, 3>;

// May be called in the drain and in the self-check, on the isolate's thread,
// before anything has moved since the addresses were found. Never in the signal
// handler.
class CodeObject {
 public:
  // How far before an address the start of its code is searched.
  static constexpr size_t kMaxDistance = 256 << 10;

  // Returns the Code object of the code at [start, start + size), or 0.
  static uintptr_t Of(uintptr_t start, size_t size);

  // Finds the code around `address`, which is in V8's code range. Returns false
  // if there is none. Searches backwards for the start: a microsecond for every
  // few KB.
  static bool Find(uintptr_t address, FoundCode* found);

  // Reads the words that contain the address of its code and of its two tables:
  // those of optimized code are the deoptimization data and the source
  // positions, those of baseline code are the bytecode and the bytecode
  // offsets.
  static bool ReadAnchorWords(uintptr_t code, AnchorWords* words);

  // Reads the SharedFunctionInfo of the function that optimized code belongs
  // to. Returns false for other code.
  static bool ReadOwner(uintptr_t code, uintptr_t* shared);

  // Whether most optimized code in this process seems to have no owner, so that
  // the table of offsets must be wrong about it.
  static bool MissesOwners();

  // Records where the table of offsets locates the code of the builtin that a
  // JSFunction runs, if the function leads to its code. For layout_check.h.
  static void NoteBuiltinOf(uintptr_t function);
  // Whether the recorded builtins are where the program's symbols locate them.
  // For layout_check.h.
  static bool AgreesWith(const BuiltinTable& builtins);
};

// Addresses at which no code was found, so that the long search is not
// repeated.
class MissedCode {
 public:
  // Addresses that are remembered; when full, all are forgotten.
  static constexpr size_t kMaxAddresses = 4096;

  bool Contains(uintptr_t address) const {
    return addresses_.contains(address);
  }
  void Add(uintptr_t address) {
    if (addresses_.size() >= kMaxAddresses) addresses_.clear();
    addresses_.insert(address);
  }
  void Clear() { addresses_.clear(); }

 private:
  std::unordered_set<uintptr_t> addresses_;
};

}  // namespace otelpyroscope

#endif  // NATIVE_V8_HEAP_CODE_OBJECT_H_
