// Reads V8's variable-length integers: seven bits a byte, the lowest first.
// Pure; any thread.
#ifndef NATIVE_V8_HEAP_VARINT_H_
#define NATIVE_V8_HEAP_VARINT_H_

#include <cstddef>
#include <cstdint>

namespace otelpyroscope {

class VariableLengthReader {
 public:
  VariableLengthReader(const uint8_t* bytes, size_t size)
      : next_(bytes), end_(bytes + size) {}

  bool done() const { return next_ == end_; }

  // Returns false if the bytes end in the middle of a number, or if it is too
  // long.
  bool Read(uint64_t* value) {
    uint64_t bits = 0;
    for (int shift = 0; next_ != end_ && shift < 64; shift += 7) {
      const uint8_t byte = *next_++;
      bits |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) != 0) continue;
      *value = bits;
      return true;
    }
    return false;
  }

 private:
  const uint8_t* next_;
  const uint8_t* end_;
};

}  // namespace otelpyroscope

#endif  // NATIVE_V8_HEAP_VARINT_H_
