// Tests of the label word and of the marks that keep a sampled label alive.
#include "handler/label_word.h"

#include <cstdint>
#include <cstring>
#include <memory>

#include "check.h"

namespace otelpyroscope {
namespace {

TEST(slot_is_the_word_that_javascript_writes) {
  LabelWord word;
  EXPECT_EQ(word.Load(), 0);
  const int32_t id = 0x7fffffff;
  memcpy(word.address(), &id, sizeof(id));
  EXPECT_EQ(word.Load(), id);
  word.Clear();
  EXPECT_EQ(word.Load(), 0);
}

TEST(marks_are_the_bytes_that_javascript_reads) {
  const auto marks = std::make_unique<SampledLabels>();
  const auto* bytes = static_cast<const uint8_t*>(marks->address());
  for (size_t i = 0; i < SampledLabels::kSize; i++) EXPECT_EQ(bytes[i], 0);
  marks->Mark(5);
  marks->Mark(SampledLabels::kSize + 7);
  marks->Mark(0x7fffffff);
  for (size_t i = 0; i < SampledLabels::kSize; i++) {
    EXPECT_EQ(bytes[i], i == 5 || i == 7 || i == SampledLabels::kSize - 1);
  }
}

}  // namespace
}  // namespace otelpyroscope
