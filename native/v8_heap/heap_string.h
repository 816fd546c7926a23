// Strings of V8's heap, copied by reads that cannot fault.
#ifndef NATIVE_V8_HEAP_HEAP_STRING_H_
#define NATIVE_V8_HEAP_HEAP_STRING_H_

#include <cstddef>
#include <cstdint>
#include <string>

namespace otelpyroscope {
namespace heap {

// How a string keeps its characters: v8_layout's kSequentialString and others.
struct StringShape {
  uint16_t representation = 0;
  bool one_byte = false;
  size_t length = 0;
};

// False: not a string.
bool ReadShape(uintptr_t string, StringShape* shape);

// UTF-8 of a string, at most so many of its characters. Fails for strings
// whose characters are not on the heap.
bool ReadString(uintptr_t string, size_t max_chars, std::string* text);

}  // namespace heap
}  // namespace otelpyroscope

#endif  // NATIVE_V8_HEAP_HEAP_STRING_H_
