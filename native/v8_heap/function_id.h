// Identifies a function of a script, independent of the code that it runs in.
#ifndef NATIVE_V8_HEAP_FUNCTION_ID_H_
#define NATIVE_V8_HEAP_FUNCTION_ID_H_

#include <cstdint>

namespace otelpyroscope {

// Valid as long as the function's script lives.
struct FunctionId {
  int script_id = 0;    // 0: unknown
  int literal_id = -1;  // the function's number in its script

  bool known() const { return script_id != 0 && literal_id >= 0; }
  uint64_t key() const {
    return static_cast<uint64_t>(script_id) << 32 |
           static_cast<uint32_t>(literal_id);
  }
  bool operator==(const FunctionId&) const = default;
};

}  // namespace otelpyroscope

#endif  // NATIVE_V8_HEAP_FUNCTION_ID_H_
