// Asks V8 for its ranges, and looks for the one that it does not tell.
#include "code_ranges.h"

#include <cstddef>
#include <cstdint>
#include <optional>

#include "process_maps.h"
#include "v8-version.h"

namespace otelpyroscope {

bool LearnCodeRanges(v8::Isolate* isolate, bool by_events, CodeMap* code_map) {
  void* generated_code = nullptr;
  size_t generated_bytes = 0;
  isolate->GetCodeRange(&generated_code, &generated_bytes);
  const uintptr_t low = reinterpret_cast<uintptr_t>(generated_code);
  code_map->SetGeneratedRange(low, generated_bytes);
  // It runs the builtins from a copy near the code that it generates, if there
  // is room. Its code events tell where the original is up to V8 11, and where
  // the copy is since.
  code_map->SetBuiltinsCopy(0, 0, 0);
  if (by_events && V8_MAJOR_VERSION >= 12) return true;
  const void* builtins = nullptr;
  size_t builtins_bytes = 0;
  isolate->GetEmbeddedCodeRange(&builtins, &builtins_bytes);
  const uintptr_t original = reinterpret_cast<uintptr_t>(builtins);
  const std::optional<uintptr_t> copy =
      FindSecondMapping(original, builtins_bytes, low, low + generated_bytes);
  if (!copy.has_value()) return false;
  if (*copy != 0) code_map->SetBuiltinsCopy(*copy, original, builtins_bytes);
  return true;
}

}  // namespace otelpyroscope
