#include "code/code_anchor.h"

#include <algorithm>
#include <cstring>

#include "v8_heap/handle_address.h"

namespace otelpyroscope {

HeapCodeAnchor::HeapCodeAnchor(v8::Isolate* isolate, uintptr_t object,
                               const AnchorWords& words)
    : handle_(isolate, HandleOn<v8::Data>(&object)),
      object_(object),
      words_(words) {
  handle_.SetWeak();
}

bool HeapCodeAnchor::Holds() const {
  return ObjectOf(handle_) == object_ &&
         std::all_of(words_.begin(), words_.end(), [](const AnchorWord& word) {
           uintptr_t value = 0;
           if (word.address == 0) return true;
           memcpy(&value, reinterpret_cast<const void*>(word.address),
                  sizeof(value));
           return value == word.value;
         });
}

}  // namespace otelpyroscope
