#include "v8_heap/source_positions.h"

#include <algorithm>

#include "v8_heap/varint.h"

namespace otelpyroscope {
namespace {

// The function's entry has an offset of its own, before the code.
constexpr int64_t kFunctionEntry = -1;

}  // namespace

SourcePosition SourcePosition::Unpack(uint64_t bits) {
  SourcePosition position;
  position.inlining_id = static_cast<int32_t>((bits >> 31) & 0xffff) - 1;
  if ((bits & 1) == 0) {
    position.script_offset = static_cast<int32_t>((bits >> 1) & 0x3fffffff) - 1;
  }
  return position;
}

bool DecodeSourcePositions(const uint8_t* bytes, size_t size, size_t code_size,
                           int flag_bits,
                           std::vector<CodePosition>* positions) {
  positions->clear();
  VariableLengthReader reader(bytes, size);
  // Unsigned: invalid differences wrap around instead of overflowing.
  uint64_t code_offset = static_cast<uint64_t>(kFunctionEntry);
  uint64_t position = 0;
  while (!reader.done()) {
    uint64_t first = 0;
    uint64_t second = 0;
    if (!reader.Read(&first) || !reader.Read(&second)) return false;
    code_offset += first >> flag_bits;
    position += (second >> 1) ^ (~(second & 1) + 1);
    const uint64_t begin =
        code_offset == static_cast<uint64_t>(kFunctionEntry) ? 0 : code_offset;
    if (begin > code_size) return false;
    positions->push_back(
        {static_cast<uint32_t>(begin), SourcePosition::Unpack(position)});
  }
  return true;
}

const SourcePosition* FindPosition(const std::vector<CodePosition>& positions,
                                   size_t offset) {
  const auto behind =
      std::upper_bound(positions.begin(), positions.end(), offset,
                       [](size_t wanted, const CodePosition& entry) {
                         return wanted < entry.code_offset;
                       });
  return behind == positions.begin() ? nullptr : &std::prev(behind)->position;
}

}  // namespace otelpyroscope
