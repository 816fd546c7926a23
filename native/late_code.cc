// From unknown addresses to entries of the code map.
#include "late_code.h"

#include "heap_reader.h"
#include "inlining.h"

namespace otelpyroscope {

void LateCode::Learn(const SampleHeader& header, const uintptr_t* frames,
                     CodeMap* code_map) {
  if (!CodeReader::Available()) return;
  LearnOne(header.pc, code_map);
  for (uint32_t i = 0; i < header.frame_count; i++) {
    LearnOne(frames[i] - 1, code_map);
  }
}

void LateCode::LearnOne(uintptr_t address, CodeMap* code_map) {
  if (!code_map->IsGenerated(address) || code_map->Find(address) != nullptr ||
      misses_.Contains(address)) {
    return;
  }
  FoundCode found;
  uintptr_t shared = 0;
  FunctionId id;
  if (CodeObject::Find(address, &found) &&
      CodeObject::ReadOwner(found.code, &shared) &&
      heap::ReadFunctionId(shared, &id) &&
      code_map->AddFound(found.start, found.size, id)) {
    return;
  }
  misses_.Add(address);
}

}  // namespace otelpyroscope
