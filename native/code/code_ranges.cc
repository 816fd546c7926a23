#include "code/code_ranges.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "base/safe_memory.h"
#include "symbols/second_mapping.h"
#include "v8-version.h"

namespace otelpyroscope {
namespace {

// V8 allocates its code range in multiples of this.
constexpr uintptr_t kCodePageBytes = 256 * 1024;
constexpr size_t kPieceBytes = 1024;

// A piece of the builtins, to compare other memory with.
class Piece {
 public:
  // Returns false if memory cannot be read.
  bool Read(uintptr_t address) { return SafeMemory::Read(address, &bytes_); }
  bool IsAt(uintptr_t address) const {
    uint8_t bytes[kPieceBytes];
    return SafeMemory::Read(address, &bytes) &&
           memcmp(bytes, bytes_, sizeof(bytes)) == 0;
  }

 private:
  uint8_t bytes_[kPieceBytes];
};

// The pages of [low, high) that are in memory. V8 reserves far more than it
// uses, and one call that lists them is quicker than two thousand reads that
// fail.
class UsedPages {
 public:
  UsedPages(uintptr_t low, uintptr_t high)
      : low_(low), page_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
    pages_.resize((high - low + page_ - 1) / page_);
    is_known_ =
        mincore(reinterpret_cast<void*>(low), high - low, pages_.data()) == 0;
  }
  // Whether there are any, or their number is unknown.
  bool AnyAt(uintptr_t address, size_t size) const {
    return !is_known_ || memchr(&pages_[(address - low_) / page_], 1,
                                size / page_) != nullptr;
  }

 private:
  uintptr_t low_;
  size_t page_;
  std::vector<unsigned char> pages_;
  bool is_known_;
};

// Returns the address of the builtins' copy within [low, high), 0 if there is
// none, or nothing if the list of mappings cannot be read.
std::optional<uintptr_t> FindBuiltinsCopy(uintptr_t original, size_t size,
                                          uintptr_t low, uintptr_t high) {
  if (size < kPieceBytes || size > high - low) return 0;
  const size_t middle_offset = size / 2;
  const size_t last_offset = size - kPieceBytes;
  Piece first;
  Piece middle;
  Piece last;
  if (!first.Read(original) || !middle.Read(original + middle_offset) ||
      !last.Read(original + last_offset)) {
    return FindSecondMapping(original, size, low, high);
  }
  // The kernel takes half a microsecond for each mapping that it lists, and
  // there may be tens of thousands. V8 puts the copy at the end, if anywhere.
  const UsedPages used(low, high);
  for (uintptr_t candidate = (high - size) & ~(kCodePageBytes - 1);
       candidate >= low; candidate -= kCodePageBytes) {
    if (used.AnyAt(candidate, size) && first.IsAt(candidate) &&
        middle.IsAt(candidate + middle_offset) &&
        last.IsAt(candidate + last_offset)) {
      return candidate;
    }
  }
  return 0;
}

}  // namespace

bool LearnCodeRanges(v8::Isolate* isolate, bool by_events, CodeMap* code_map) {
  void* generated_code = nullptr;
  size_t generated_bytes = 0;
  isolate->GetCodeRange(&generated_code, &generated_bytes);
  const uintptr_t low = reinterpret_cast<uintptr_t>(generated_code);
  code_map->SetGeneratedRange(low, generated_bytes);
  // V8 runs the builtins from a copy near the code that it generates, if there
  // is room. Its code events contain the address of the original up to V8 11,
  // and of the copy since.
  code_map->SetBuiltinsCopy(0, 0, 0);
  if (by_events && V8_MAJOR_VERSION >= 12) return true;
  const void* builtins = nullptr;
  size_t builtins_bytes = 0;
  isolate->GetEmbeddedCodeRange(&builtins, &builtins_bytes);
  const uintptr_t original = reinterpret_cast<uintptr_t>(builtins);
  const std::optional<uintptr_t> copy =
      FindBuiltinsCopy(original, builtins_bytes, low, low + generated_bytes);
  if (!copy.has_value()) return false;
  if (*copy != 0) code_map->SetBuiltinsCopy(*copy, original, builtins_bytes);
  return true;
}

}  // namespace otelpyroscope
