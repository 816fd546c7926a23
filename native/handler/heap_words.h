// Reads the words of V8's heap that lead to the label id: by plain loads in the
// signal handler, by SafeMemory in probes.
#ifndef NATIVE_HANDLER_HEAP_WORDS_H_
#define NATIVE_HANDLER_HEAP_WORDS_H_

#include <cstdint>
#include <cstring>

#include "base/signal_safety.h"
#include "v8.h"
#include "v8_heap/layout.h"

namespace otelpyroscope {

// Reads by plain loads, in the signal handler: the layout was checked before.
struct PlainReader {
  template <typename T>
  SIGNAL_SAFE static bool Read(uintptr_t address, T* to) noexcept {
    *to = *reinterpret_cast<const T*>(address);
    return true;
  }
};

SIGNAL_SAFE inline bool IsObject(uintptr_t word) noexcept {
  return (word & v8_layout::kTagMask) == v8_layout::kHeapObjectTag;
}

SIGNAL_SAFE inline bool IsSmi(uintptr_t word) noexcept {
  return static_cast<uint32_t>(word) == 0;
}

// Returns the address at which V8 keeps the address of a handle's object.
template <typename T>
SIGNAL_SAFE uintptr_t HandleLocation(const v8::Global<T>& handle) noexcept {
  static_assert(sizeof(handle) == sizeof(uintptr_t));
  uintptr_t location;
  memcpy(&location, &handle, sizeof(location));
  return location;
}

// Returns the object of a handle that is not empty.
template <typename T>
SIGNAL_SAFE uintptr_t ObjectIn(const v8::Global<T>& handle) noexcept {
  uintptr_t object = 0;
  PlainReader::Read(HandleLocation(handle), &object);
  return object;
}

// Returns the label id that a word is, as a small integer; 0 if it is none.
SIGNAL_SAFE inline uint32_t LabelIdIn(uintptr_t word) noexcept {
  const uint64_t number = word >> v8_layout::kSmiShift;
  return IsSmi(word) && number <= INT32_MAX ? static_cast<uint32_t>(number) : 0;
}

// Reads the map of an object, its hidden class.
template <typename Reader>
SIGNAL_SAFE bool ReadMap(uintptr_t object, uintptr_t* map) noexcept {
  return IsObject(object) &&
         Reader::Read(
             object - v8_layout::kHeapObjectTag + v8_layout::layout().map,
             map) &&
         IsObject(*map);
}

template <typename Reader>
SIGNAL_SAFE bool ReadSmi(uintptr_t address, uint64_t* value) noexcept {
  uintptr_t word = 0;
  if (!Reader::Read(address, &word) || !IsSmi(word)) return false;
  *value = word >> v8_layout::kSmiShift;
  return true;
}

}  // namespace otelpyroscope

#endif  // NATIVE_HANDLER_HEAP_WORDS_H_
