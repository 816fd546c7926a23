#include "v8_heap/code_object.h"

#include <atomic>
#include <cstring>
#include <iterator>
#include <tuple>
#include <vector>

#include "base/safe_memory.h"
#include "v8_heap/heap_reader.h"
#include "v8_heap/layout.h"

namespace otelpyroscope {
namespace {

using v8_layout::layout;

// V8's smallest alignment of code.
constexpr size_t kAlignment = 32;
constexpr size_t kPageBytes = 4096;
// The words of a JSFunction among which its Code is.
constexpr size_t kFunctionWords = 8;

FoundCode noted_builtins[2];

// Counts of optimized code whose owner was looked up.
std::atomic<uint64_t> owners_read{0};
std::atomic<uint64_t> owners_missed{0};
constexpr uint64_t kFewOwners = 4;

// Whether code with this deoptimization data may be optimized: a regular
// expression's has none, and baseline code has its bytecode there.
bool MayBeOptimized(uintptr_t data) {
  const InstanceTypes& types = InstanceTypes::OfThisV8();
  const uint16_t type = heap::InstanceType(data);
  uint64_t length = 0;
  return type != 0 && type != types.bytecode_array &&
         type != types.interpreter_data &&
         heap::ReadSmi(data, layout().array_length, &length) && length != 0;
}

// Whether `code` is the Code object of code that begins at `start`.
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
    const uintptr_t pointer = start - before;
    if (pointer % sizeof(uintptr_t) != 0) return false;
    if ((pointer & ~(kPageBytes - 1)) != page_start) {
      page_start = pointer & ~(kPageBytes - 1);
      if (!SafeMemory::Read(page_start, page, sizeof(page))) return false;
    }
    uintptr_t code = 0;
    memcpy(&code, page + pointer % kPageBytes, sizeof(code));
    size_t size = 0;
    if (!v8_layout::MayBeObject(code) || !IsCodeAt(code, start, &size))
      continue;
    // The nearest code before the address contains it, or none does.
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
  if (!heap::ReadWord(code, layout().deoptimization_data, &data)) return false;
  if (heap::ReadElement(data, layout().function_index, shared) &&
      heap::IsObject(*shared) &&
      (heap::InstanceType(*shared) == shared_type ||
       (heap::ReadWord(*shared, layout().function_wrapper_shared, shared) &&
        heap::InstanceType(*shared) == shared_type))) {
    owners_read.fetch_add(1, std::memory_order_relaxed);
    return true;
  }
  if (MayBeOptimized(data)) {
    owners_missed.fetch_add(1, std::memory_order_relaxed);
  }
  return false;
}

bool CodeObject::MissesOwners() {
  const uint64_t missed = owners_missed.load(std::memory_order_relaxed);
  return missed >= kFewOwners &&
         missed > owners_read.load(std::memory_order_relaxed);
}

void CodeObject::NoteBuiltinOf(uintptr_t function) {
  const v8_layout::Layout& at = layout();
  for (size_t i = 1; i < kFunctionWords; i++) {
    FoundCode found;
    int32_t size = 0;
    if (!heap::ReadWord(function, i * sizeof(uintptr_t), &found.code) ||
        heap::InstanceType(found.code) != InstanceTypes::OfThisV8().code ||
        !heap::ReadWord(found.code, at.instruction_start, &found.start) ||
        !heap::ReadInt(found.code, at.instruction_size, &size)) {
      continue;
    }
    found.size = static_cast<size_t>(size);
    for (FoundCode& noted : noted_builtins) {
      if (noted.code == found.code) return;
      if (noted.code != 0) continue;
      noted = found;
      return;
    }
  }
}

bool CodeObject::AgreesWith(const BuiltinTable& builtins) {
  for (const FoundCode& noted : noted_builtins) {
    if (noted.code == 0) continue;
    const Builtin* builtin = builtins.Find(noted.start);
    // Newer versions report the copy of the builtins; for these, the binary
    // exports the offsets that are compared here.
    if (builtin != nullptr &&
        (builtin->start != noted.start || builtin->size != noted.size)) {
      return false;
    }
  }
  return true;
}

}  // namespace otelpyroscope
