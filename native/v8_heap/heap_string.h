// Copies strings of V8's heap, with reads that cannot fault. Called from where
// heap_reader.h may be.
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

// Returns false if it is not a string.
bool ReadShape(uintptr_t string, StringShape* shape);

// Copies at most `max_chars` characters of a string, as UTF-8. Fails for
// strings whose characters are not on the heap.
bool ReadString(uintptr_t string, size_t max_chars, std::string* text);

}  // namespace heap
}  // namespace otelpyroscope

#endif  // NATIVE_V8_HEAP_HEAP_STRING_H_
