// Converts a batch of samples to arrays of numbers and texts, in the format
// that src/addon/loader.ts describes.
#ifndef NATIVE_ADDON_BATCH_ARRAYS_H_
#define NATIVE_ADDON_BATCH_ARRAYS_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "threads/profile_windows.h"

namespace otelpyroscope {

// The texts belong to the batch: valid while it exists.
struct BatchArrays {
  std::vector<std::string_view> names;
  std::vector<uint32_t> start_lines;
  std::vector<uint32_t> start_columns;
  std::vector<uint32_t> source_maps;
  std::vector<uint32_t> frames;
  std::vector<uint32_t> frame_columns;
  std::vector<uint32_t> stacks;
  std::vector<uint32_t> label_sets;
  std::vector<std::string_view> label_texts;
};

// Returns the batch as arrays. Any thread.
BatchArrays ToArrays(const SampleBatch& batch);

}  // namespace otelpyroscope

#endif  // NATIVE_ADDON_BATCH_ARRAYS_H_
