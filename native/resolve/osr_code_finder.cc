#include "resolve/osr_code_finder.h"

#include "v8_heap/code_reader.h"
#include "v8_heap/heap_reader.h"

namespace otelpyroscope {

void OsrCodeFinder::Learn(const SampleHeader& header, const uintptr_t* frames,
                          CodeMap* code_map) {
  if (!CodeReader::Available()) return;
  LearnOne(header.pc, code_map);
  for (uint32_t i = 0; i < header.frame_count; i++) {
    LearnOne(frames[i] - 1, code_map);
  }
}

void OsrCodeFinder::LearnOne(uintptr_t address, CodeMap* code_map) {
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
