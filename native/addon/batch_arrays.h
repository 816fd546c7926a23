// A batch of samples as arrays of numbers and texts, as src/addon/loader.ts has them.
#ifndef NATIVE_ADDON_BATCH_ARRAYS_H_
#define NATIVE_ADDON_BATCH_ARRAYS_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "threads/profile_windows.h"

namespace otelpyroscope {

// The texts are the batch's own: good as long as it is.
struct BatchArrays {
  std::vector<std::string_view> names;
  std::vector<uint32_t> start_lines;
  std::vector<uint32_t> start_columns;
  std::vector<uint32_t> frames;
  std::vector<uint32_t> stacks;
  std::vector<uint32_t> label_sets;
  std::vector<std::string_view> label_texts;
};

BatchArrays ToArrays(const SampleBatch& batch);

// The label ids that its samples carry, each once, in order.
std::vector<uint32_t> LabelIdsOf(const SampleBatch& batch);

}  // namespace otelpyroscope

#endif  // NATIVE_ADDON_BATCH_ARRAYS_H_
