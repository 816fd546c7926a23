// Tests of the label word and of the marks that keep a sampled label alive.
#include "handler/label_word.h"

#include <cstdint>
#include <cstring>
#include <memory>

#include "check.h"

namespace otelpyroscope {
namespace {

TEST(label_word_is_what_javascript_writes) {
  LabelWord word;
  EXPECT_EQ(word.Load(), 0);
  const int32_t id = 0x7fffffff;
  memcpy(word.address(), &id, sizeof(id));
  EXPECT_EQ(word.Load(), id);
  word.Clear();
  EXPECT_EQ(word.Load(), 0);
}

TEST(marks_and_cpu_times_are_what_javascript_reads) {
  const auto labels = std::make_unique<SampledLabels>();
  const auto* bytes = static_cast<const uint8_t*>(labels->marks());
  for (size_t i = 0; i < SampledLabels::kSize; i++) EXPECT_EQ(bytes[i], 0);
  const auto* nanos = static_cast<const double*>(labels->cpu_ns());
  labels->Add(5, 10e6);
  labels->Add(SampledLabels::kSize + 7, 1e6);
  labels->Add(SampledLabels::kSize + 7, 2e6);
  labels->Add(0x7fffffff, 9e15);
  for (size_t i = 0; i < SampledLabels::kSize; i++) {
    const bool is_last = i == SampledLabels::kSize - 1;
    EXPECT_EQ(bytes[i], i == 5 || i == 7 || is_last);
    EXPECT_EQ(nanos[i], i == 5 ? 10e6 : i == 7 ? 3e6 : is_last ? 9e15 : 0);
  }
}

}  // namespace
}  // namespace otelpyroscope
