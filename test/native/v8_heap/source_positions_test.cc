// Tests of the source position decoder: V8's own tables, and any bytes at all.
#include "v8_heap/source_positions.h"

#include <cstdint>
#include <random>
#include <vector>

#include "check.h"

namespace otelpyroscope {
namespace {

// Appends a variable-length integer.
void Write(std::vector<uint8_t>* bytes, uint64_t value) {
  do {
    const uint8_t more = value > 0x7f ? 0x80 : 0;
    bytes->push_back(static_cast<uint8_t>(value & 0x7f) | more);
    value >>= 7;
  } while (value != 0);
}

uint64_t ZigZag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^
         static_cast<uint64_t>(value >> 63);
}

uint64_t Pack(int script_offset, int inlining_id) {
  return static_cast<uint64_t>(script_offset + 1) << 1 |
         static_cast<uint64_t>(inlining_id + 1) << 31;
}

TEST(positions_come_back_as_they_were_written) {
  for (const int flag_bits : {1, 2}) {
    const std::vector<CodePosition> written = {
        {0, {5, -1}},   {7, {1000, 0}},       {7, {3, 65000}},
        {130, {-1, 2}}, {131, {1 << 29, -1}}, {70000, {0, 1}},
    };
    std::vector<uint8_t> bytes;
    uint64_t offset = UINT64_MAX;  // the function's entry
    uint64_t position = 0;
    for (const CodePosition& entry : written) {
      const uint64_t bits =
          Pack(entry.position.script_offset, entry.position.inlining_id);
      const uint64_t flags = entry.code_offset % 2;
      Write(&bytes, (entry.code_offset - offset) << flag_bits | flags);
      Write(&bytes, ZigZag(static_cast<int64_t>(bits - position)));
      offset = entry.code_offset;
      position = bits;
    }
    std::vector<CodePosition> read;
    EXPECT(DecodeSourcePositions(bytes.data(), bytes.size(), 70000, flag_bits,
                                 &read));
    EXPECT_EQ(read.size(), written.size());
    for (size_t i = 0; i < read.size() && i < written.size(); i++) {
      EXPECT_EQ(read[i].code_offset, written[i].code_offset);
      EXPECT_EQ(read[i].position.script_offset,
                written[i].position.script_offset);
      EXPECT_EQ(read[i].position.inlining_id, written[i].position.inlining_id);
    }
    // Not one byte less, and not outside of the code.
    EXPECT(!DecodeSourcePositions(bytes.data(), bytes.size() - 1, 70000,
                                  flag_bits, &read));
    EXPECT(!DecodeSourcePositions(bytes.data(), bytes.size(), 69999, flag_bits,
                                  &read));
  }
}

TEST(the_entry_of_a_function_is_the_begin_of_its_code) {
  const std::vector<uint8_t> bytes = {0, 4, 2, 4};
  std::vector<CodePosition> read;
  EXPECT(DecodeSourcePositions(bytes.data(), bytes.size(), 10, 1, &read));
  EXPECT_EQ(read.size(), size_t{2});
  EXPECT_EQ(read[0].code_offset, 0u);
  EXPECT_EQ(read[1].code_offset, 0u);
}

TEST(positions_are_those_of_the_last_entry_before) {
  const std::vector<CodePosition> positions = {
      {4, {10, -1}}, {8, {20, -1}}, {8, {21, -1}}, {12, {30, -1}}};
  EXPECT(FindPosition(positions, 0) == nullptr);
  EXPECT(FindPosition(positions, 3) == nullptr);
  EXPECT_EQ(FindPosition(positions, 4)->script_offset, 10);
  EXPECT_EQ(FindPosition(positions, 7)->script_offset, 10);
  EXPECT_EQ(FindPosition(positions, 8)->script_offset, 21);
  EXPECT_EQ(FindPosition(positions, 11)->script_offset, 21);
  EXPECT_EQ(FindPosition(positions, 1000000)->script_offset, 30);
  EXPECT(FindPosition({}, 0) == nullptr);
}

TEST(positions_outside_of_the_script_are_unknown) {
  EXPECT_EQ(SourcePosition::Unpack(Pack(7, 2)).script_offset, 7);
  EXPECT_EQ(SourcePosition::Unpack(Pack(7, 2) | 1).script_offset, -1);
  EXPECT_EQ(SourcePosition::Unpack(Pack(7, 2) | 1).inlining_id, 2);
  EXPECT_EQ(SourcePosition::Unpack(0).script_offset, -1);
}

TEST(positions_of_random_bytes_never_leave_the_code) {
  std::mt19937 random(1);
  size_t accepted = 0;
  for (int round = 0; round < 200000; round++) {
    std::vector<uint8_t> bytes(random() % 40);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    const size_t code_size = random() % 5000;
    std::vector<CodePosition> positions;
    if (!DecodeSourcePositions(bytes.data(), bytes.size(), code_size,
                               1 + round % 2, &positions)) {
      continue;
    }
    accepted++;
    for (const CodePosition& entry : positions) {
      EXPECT_LE(entry.code_offset, code_size);
      EXPECT_LE(-1, entry.position.script_offset);
      EXPECT_LE(-1, entry.position.inlining_id);
      EXPECT_LE(entry.position.inlining_id, 0xffff);
    }
  }
  EXPECT(accepted > 100);
}

}  // namespace
}  // namespace otelpyroscope
