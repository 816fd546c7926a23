#include "v8_heap/baseline_positions.h"

#include "v8_heap/varint.h"

namespace otelpyroscope {
namespace {

constexpr uint8_t kWide = 0;
constexpr uint8_t kExtraWide = 1;

}  // namespace

bool FindBytecodes(const uint8_t* bytecode, size_t size,
                   const BytecodeLengths& lengths,
                   std::vector<uint32_t>* starts) {
  starts->clear();
  const auto digit = [](std::string_view digits, uint8_t opcode) {
    return static_cast<size_t>(digits[opcode] - '0');
  };
  for (size_t at = 0; at < size;) {
    starts->push_back(static_cast<uint32_t>(at));
    size_t growth = 0;
    if (bytecode[at] == kWide || bytecode[at] == kExtraWide) {
      growth = bytecode[at] == kWide ? 1 : 3;
      if (++at == size) return false;
    }
    const uint8_t opcode = bytecode[at];
    if (opcode >= lengths.lengths.size() || opcode >= lengths.scalable.size() ||
        (growth != 0 && opcode <= kExtraWide)) {
      return false;
    }
    at += digit(lengths.lengths, opcode) +
          growth * digit(lengths.scalable, opcode);
    if (at > size) return false;
  }
  return true;
}

bool AreOfBytecodes(const std::vector<CodePosition>& positions,
                    const std::vector<uint32_t>& starts) {
  auto start = starts.begin();
  for (const CodePosition& entry : positions) {
    while (start != starts.end() && *start < entry.code_offset) ++start;
    if (start == starts.end() || *start != entry.code_offset) return false;
  }
  return true;
}

bool DecodeBaselinePositions(const uint8_t* table, size_t table_size,
                             size_t code_size,
                             const std::vector<uint32_t>& starts,
                             const std::vector<CodePosition>& bytecode,
                             std::vector<CodePosition>* positions) {
  positions->clear();
  VariableLengthReader reader(table, table_size);
  uint64_t begin = 0;
  if (!reader.Read(&begin) || begin > code_size) return false;
  const SourcePosition* last = nullptr;
  for (const uint32_t start : starts) {
    uint64_t length = 0;
    if (!reader.Read(&length) || length > code_size - begin) return false;
    const SourcePosition* position = FindPosition(bytecode, start);
    if (length != 0 && position != last) {
      positions->push_back({static_cast<uint32_t>(begin), *position});
      last = position;
    }
    begin += length;
  }
  return reader.done();
}

}  // namespace otelpyroscope
