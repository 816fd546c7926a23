// From code to its Code object, and from an address to its code.
#include "code_object.h"

#include <cstring>
#include <iterator>
#include <tuple>
#include <vector>

#include "heap_reader.h"
#include "safe_memory.h"
#include "v8_layout.h"

namespace otelpyroscope {
namespace {

using v8_layout::layout;

// What V8 aligns code to, at least.
constexpr size_t kAlignment = 32;
constexpr size_t kPageBytes = 4096;

// Whether `code` is a Code object, of code that begins at `start`.
bool IsCodeAt(uintptr_t code, uintptr_t start, size_t* size) {
  uintptr_t instruction_start = 0;
  int32_t instruction_size = 0;
  if (heap::InstanceType(code) != InstanceTypes::OfThisV8().code ||
      !heap::ReadWord(code, layout().instruction_start, &instruction_start) ||
      instruction_start != start ||
      !heap::ReadInt(code, layout().instruction_size, &instruction_size) ||
      instruction_size <= 0) {
    return false;
  }
  *size = static_cast<size_t>(instruction_size);
  return true;
}

}  // namespace

uintptr_t CodeObject::Of(uintptr_t start, size_t size) {
  uintptr_t code = 0;
  size_t own_size = 0;
  return SafeMemory::Read(start - layout().code_pointer_before_start, &code) &&
                 IsCodeAt(code, start, &own_size) && own_size == size
             ? code
             : 0;
}

bool CodeObject::Find(uintptr_t address, FoundCode* found) {
  const size_t before = layout().code_pointer_before_start;
  uint8_t page[kPageBytes];
  uintptr_t page_start = 0;
  for (uintptr_t start = address & ~(kAlignment - 1);
       address - start <= kMaxDistance; start -= kAlignment) {
    const uintptr_t place = start - before;
    if (place % sizeof(uintptr_t) != 0) return false;
    if ((place & ~(kPageBytes - 1)) != page_start) {
      page_start = place & ~(kPageBytes - 1);
      if (!SafeMemory::Read(page_start, page, sizeof(page))) return false;
    }
    uintptr_t code = 0;
    memcpy(&code, page + place % kPageBytes, sizeof(code));
    size_t size = 0;
    if (!v8_layout::MayBeObject(code) || !IsCodeAt(code, start, &size))
      continue;
    // The nearest code before the address: it is this one's or nobody's.
    found->start = start;
    found->size = size;
    found->code = code;
    return address - start < size;
  }
  return false;
}

bool CodeObject::ReadAnchorWords(uintptr_t code, AnchorWords* words) {
  const size_t offsets[] = {layout().instruction_start,
                            layout().deoptimization_data,
                            layout().source_position_table};
  static_assert(std::size(offsets) == std::tuple_size_v<AnchorWords>);
  for (size_t i = 0; i < std::size(offsets); i++) {
    (*words)[i].address = code - v8_layout::kHeapObjectTag + offsets[i];
    if (!heap::ReadWord(code, offsets[i], &(*words)[i].value)) return false;
  }
  return true;
}

bool CodeObject::ReadOwner(uintptr_t code, uintptr_t* shared) {
  const uint16_t shared_type = InstanceTypes::OfThisV8().shared_function_info;
  uintptr_t data = 0;
  if (!heap::ReadWord(code, layout().deoptimization_data, &data) ||
      !heap::ReadElement(data, layout().function_index, shared) ||
      !heap::IsObject(*shared)) {
    return false;
  }
  return heap::InstanceType(*shared) == shared_type ||
         (heap::ReadWord(*shared, layout().function_wrapper_shared, shared) &&
          heap::InstanceType(*shared) == shared_type);
}

}  // namespace otelpyroscope
