// Tests of the walk over bytecode and bytecode offset tables: exact ends, and
// any bytes at all.
#include "v8_heap/baseline_positions.h"

#include <cstdint>
#include <random>
#include <vector>

#include "check.h"

namespace otelpyroscope {
namespace {

// Wide, ExtraWide, and bytecodes with 0 to 3 bytes of operands, of which the
// last one's are 2 that grow and 1 that does not.
constexpr BytecodeLengths kLengths = {"111234", "000122"};

std::vector<uint32_t> Starts(const std::vector<uint8_t>& bytecode, bool* ok) {
  std::vector<uint32_t> starts;
  *ok = FindBytecodes(bytecode.data(), bytecode.size(), kLengths, &starts);
  return starts;
}

TEST(bytecodes_begin_where_the_one_before_ends) {
  bool ok = false;
  EXPECT(Starts({2, 3, 9, 4, 9, 9, 5, 9, 9, 9, 2}, &ok) ==
         (std::vector<uint32_t>{0, 1, 3, 6, 10}));
  EXPECT(ok);
  EXPECT(Starts({}, &ok).empty());
  EXPECT(ok);
}

TEST(prefixes_make_operands_longer) {
  bool ok = false;
  // Wide: 1 + 1 + 2 * 2 + 1; ExtraWide: 1 + 1 + 4.
  EXPECT(Starts({0, 5, 9, 9, 9, 9, 9, 1, 3, 9, 9, 9, 9, 2}, &ok) ==
         (std::vector<uint32_t>{0, 7, 13}));
  EXPECT(ok);
}

TEST(bytecode_that_does_not_end_at_its_end_is_refused) {
  bool ok = true;
  Starts({2, 3}, &ok);  // an operand is missing
  EXPECT(!ok);
  Starts({2, 0}, &ok);  // a prefix of nothing
  EXPECT(!ok);
  Starts({0, 1, 2}, &ok);  // a prefix of a prefix
  EXPECT(!ok);
  Starts({6}, &ok);  // unknown
  EXPECT(!ok);
}

TEST(positions_are_only_of_bytecodes) {
  EXPECT(AreOfBytecodes({{0, {1, -1}}, {3, {2, -1}}}, {0, 3, 5}));
  EXPECT(!AreOfBytecodes({{0, {1, -1}}, {4, {2, -1}}}, {0, 3, 5}));
}

TEST(baseline_code_has_the_positions_of_its_bytecode) {
  const std::vector<uint32_t> starts = {0, 2, 5, 6};
  const std::vector<CodePosition> bytecode = {{2, {20, -1}}, {6, {60, -1}}};
  // The prologue, three bytecodes, and one of 200 bytes.
  const std::vector<uint8_t> table = {10, 5, 7, 0, 0xc8, 1};
  std::vector<CodePosition> read;
  EXPECT(DecodeBaselinePositions(table.data(), table.size(), 222, starts,
                                 bytecode, &read));
  EXPECT(FindPosition(read, 9) == nullptr);
  EXPECT(FindPosition(read, 14) == nullptr);
  EXPECT_EQ(FindPosition(read, 15)->script_offset, 20);
  EXPECT_EQ(FindPosition(read, 21)->script_offset, 20);
  EXPECT_EQ(FindPosition(read, 22)->script_offset, 60);
  // Longer than the code; one number less; one more.
  EXPECT(!DecodeBaselinePositions(table.data(), table.size(), 221, starts,
                                  bytecode, &read));
  EXPECT(
      !DecodeBaselinePositions(table.data(), 4, 222, starts, bytecode, &read));
  EXPECT(!DecodeBaselinePositions(table.data(), table.size(), 222, {0, 2, 5},
                                  bytecode, &read));
}

TEST(random_bytes_never_leave_bytecode_or_code) {
  std::mt19937 random(1);
  for (int round = 0; round < 100000; round++) {
    std::vector<uint8_t> bytecode(random() % 30);
    std::vector<uint8_t> table(random() % 30);
    for (uint8_t& byte : bytecode) byte = static_cast<uint8_t>(random() % 8);
    for (uint8_t& byte : table) byte = static_cast<uint8_t>(random());
    std::vector<uint32_t> starts;
    std::vector<CodePosition> read;
    if (!FindBytecodes(bytecode.data(), bytecode.size(), kLengths, &starts)) {
      continue;
    }
    for (const uint32_t start : starts) EXPECT(start < bytecode.size());
    const size_t code_size = random() % 2000;
    DecodeBaselinePositions(table.data(), table.size(), code_size, starts,
                            {{0, {1, -1}}, {2, {2, -1}}, {5, {3, -1}}}, &read);
    for (const CodePosition& entry : read) {
      EXPECT_LE(entry.code_offset, code_size);
    }
  }
}

}  // namespace
}  // namespace otelpyroscope
