// The Code objects of machine code, on V8's heap.
//
// Safe reads, each checked: a Code object says itself where its code begins and
// how long it is.
#ifndef NATIVE_V8_HEAP_CODE_OBJECT_H_
#define NATIVE_V8_HEAP_CODE_OBJECT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_set>

#include "symbols/builtin_table.h"

namespace otelpyroscope {

// Code that V8 has not told of, and its Code object.
struct FoundCode {
  uintptr_t start = 0;
  size_t size = 0;
  uintptr_t code = 0;
};

// Words of V8's heap as they were when code was read.
struct AnchorWord {
  uintptr_t address = 0;  // 0: none
  uintptr_t value = 0;
};
using AnchorWords = std::array<AnchorWord, 3>;

class CodeObject {
 public:
  // How far before an address its code may begin to be found.
  static constexpr size_t kMaxDistance = 256 << 10;

  // The Code object of the code at [start, start + size), or 0.
  static uintptr_t Of(uintptr_t start, size_t size);

  // The code around `address`, which lies where V8 puts its code; or false.
  // Looks backwards for the beginning: a microsecond for every few KB.
  static bool Find(uintptr_t address, FoundCode* found);

  // The words that say where its code begins, and where its two tables are: of
  // optimized code, those of what it is deoptimized by and of its positions; of
  // baseline code, those of its bytecode and of the offsets in that.
  static bool ReadAnchorWords(uintptr_t code, AnchorWords* words);

  // The SharedFunctionInfo of the function that optimized code is of. False:
  // other code.
  static bool ReadOwner(uintptr_t code, uintptr_t* shared);

  // Whether most optimized code in this process seems to have no owner, so that
  // it must be elsewhere than the table says.
  static bool MissesOwners();

  // Notes what the table of offsets says of the builtin that a JSFunction runs,
  // if the function leads to its code; and whether it agrees with what the
  // program's symbols say of those that were noted. For layout_check.h.
  static void NoteBuiltinOf(uintptr_t function);
  static bool AgreesWith(const BuiltinTable& builtins);
};

// Addresses at which no code was found, for the search is long.
class MissedCode {
 public:
  // When full, all are forgotten.
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
