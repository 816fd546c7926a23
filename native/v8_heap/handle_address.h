// Converts between V8's handles and the addresses of objects: a handle is a
// pointer to a word that contains the object. In builds of V8 in which it is
// not, the results are 0 and empty. On the isolate's thread; not in the signal
// handler.
#ifndef NATIVE_V8_HEAP_HANDLE_ADDRESS_H_
#define NATIVE_V8_HEAP_HANDLE_ADDRESS_H_

#include <cstdint>
#include <cstring>

#include "v8.h"
#include "v8_heap/layout.h"

namespace otelpyroscope {

// Returns the object in the word that `handle`, a V8 handle of any kind, points
// to.
inline uintptr_t ObjectBehind(const void* handle) {
  if (!v8_layout::kHeapIsReadable) return 0;
  uintptr_t location = 0;
  uintptr_t object = 0;
  memcpy(&location, handle, sizeof(location));
  memcpy(&object, reinterpret_cast<const void*>(location), sizeof(object));
  return object;
}

// Returns the object that a handle refers to.
template <typename T>
uintptr_t ObjectOf(v8::Local<T> handle) {
  static_assert(sizeof(handle) == sizeof(uintptr_t));
  return ObjectBehind(&handle);
}

// Returns the object that a global handle refers to, or 0 if it is empty.
template <typename T>
uintptr_t ObjectOf(const v8::Global<T>& handle) {
  static_assert(sizeof(handle) == sizeof(uintptr_t));
  return handle.IsEmpty() ? uintptr_t{0} : ObjectBehind(&handle);
}

// Returns a handle on the object in `*location`, which must be of that type.
// Valid as long as the word exists and no collection has moved the object.
template <typename T>
v8::Local<T> HandleOn(const uintptr_t* location) {
  v8::Local<T> handle;
  static_assert(sizeof(handle) == sizeof(location));
  if (v8_layout::kHeapIsReadable)
    memcpy(static_cast<void*>(&handle), &location, sizeof(location));
  return handle;
}

}  // namespace otelpyroscope

#endif  // NATIVE_V8_HEAP_HANDLE_ADDRESS_H_
