#include "addon/batch_arrays.h"

#include <cstddef>

namespace otelpyroscope {

BatchArrays ToArrays(const SampleBatch& batch) {
  BatchArrays flat;
  const StackTable::Reader reader(&batch.table);
  for (const FunctionInfo& function : batch.table.functions()) {
    flat.names.push_back(function.name);
    flat.names.push_back(function.url);
    flat.start_lines.push_back(static_cast<uint32_t>(function.line));
    flat.start_columns.push_back(static_cast<uint32_t>(function.column));
    flat.source_maps.push_back(function.source_map);
  }
  const auto& frames = batch.table.frames();
  for (size_t i = 0; i < frames.size(); i++) {
    flat.frames.push_back(frames[i].function);
    flat.frames.push_back(batch.table.lines()[i]);
  }
  flat.frame_columns = batch.table.columns();
  for (const auto& [key, weight] : batch.table.stacks()) {
    flat.stacks.push_back(static_cast<uint32_t>(weight));
    flat.stacks.push_back(static_cast<uint32_t>(key.size() - 1));
    for (const char32_t word : key) flat.stacks.push_back(word);
  }
  if (batch.labels == nullptr) return flat;
  for (const uint32_t id : LabelIdsOf(batch)) {
    const auto found = batch.labels->find(id);
    if (found == batch.labels->end()) continue;
    flat.label_sets.push_back(id);
    flat.label_sets.push_back(static_cast<uint32_t>(found->second.size()));
    flat.label_texts.insert(flat.label_texts.end(), found->second.begin(),
                            found->second.end());
  }
  return flat;
}

}  // namespace otelpyroscope
