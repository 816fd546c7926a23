// A batch of samples as arrays of numbers and texts, as src/native.ts has them.
#ifndef NATIVE_FLAT_BATCH_H_
#define NATIVE_FLAT_BATCH_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "sample_windows.h"

namespace otelpyroscope {

// The texts are the batch's own: good as long as it is.
struct FlatBatch {
  std::vector<std::string_view> names;
  std::vector<uint32_t> start_lines;
  std::vector<uint32_t> start_columns;
  std::vector<uint32_t> frames;
  std::vector<uint32_t> stacks;
  std::vector<uint32_t> label_sets;
  std::vector<std::string_view> label_texts;
};

FlatBatch Flatten(const SampleBatch& batch);

// The label ids that its samples carry, each once, in order.
std::vector<uint32_t> LabelIdsOf(const SampleBatch& batch);

}  // namespace otelpyroscope

#endif  // NATIVE_FLAT_BATCH_H_
