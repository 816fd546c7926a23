// V8's gen-postmortem-metadata.py makes the symbols, 32-bit integers.
#include "v8_heap/exported_offsets.h"

#include <dlfcn.h>

#include <cstddef>
#include <cstring>
#include <optional>

#include "v8-internal.h"
#include "v8_heap/layout.h"

namespace otelpyroscope {
namespace {

using v8_layout::Layout;

struct Exported {
  const char* symbol;
  size_t Layout::*offset;
  int sign;  // -1 for frames: the table has the distance below
};

// Only the offsets for which layout_check.h has no known object in every case.
constexpr Exported kExported[] = {
    {"v8dbg_off_fp_context", &Layout::frame_context_below, -1},
    {"v8dbg_off_fp_function", &Layout::frame_function_below, -1},
    {"v8dbg_off_fp_bytecode_array", &Layout::frame_bytecode_below, -1},
    {"v8dbg_off_fp_bytecode_offset", &Layout::frame_offset_below, -1},
    // Since V8 12.
    {"v8dbg_class_Code__instruction_start__Address", &Layout::instruction_start,
     1},
    {"v8dbg_class_Code__instruction_size__int", &Layout::instruction_size, 1},
};

std::optional<int> ReadExported(const char* name) {
  const void* symbol = dlsym(RTLD_DEFAULT, name);
  if (symbol == nullptr) return std::nullopt;
  int value = 0;
  memcpy(&value, symbol, sizeof(value));
  return value;
}

bool IsExportedAs(const char* name, int expected) {
  return ReadExported(name).value_or(expected) == expected;
}

}  // namespace

bool TableIsAsExported() {
  for (const Exported& entry : kExported) {
    const size_t offset = v8_layout::layout().*entry.offset;
    if (!IsExportedAs(entry.symbol, entry.sign * static_cast<int>(offset))) {
      return false;
    }
  }
  return true;
}

bool BuildIsAsCompiled(uintptr_t handle) {
#if defined(V8_ENABLE_DIRECT_HANDLE) || defined(V8_ENABLE_DIRECT_LOCAL)
  constexpr bool kIsDirect = true;
#else
  constexpr bool kIsDirect = false;
#endif
  const bool is_direct =
      (handle & v8_layout::kTagMask) == v8_layout::kHeapObjectTag;
  return is_direct == kIsDirect &&
         IsExportedAs("v8dbg_TaggedSize", v8::internal::kApiTaggedSize) &&
         IsExportedAs("v8dbg_SmiShiftSize", v8::internal::kSmiShiftSize);
}

}  // namespace otelpyroscope
