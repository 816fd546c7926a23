// Code that V8 has not told of, learnt when a sample first hits it.
//
// V8 lists no code that it has put in the place of a running loop (on-stack
// replacement) before sampling began. It can be found from any address in it.
#ifndef NATIVE_LATE_CODE_H_
#define NATIVE_LATE_CODE_H_

#include <cstddef>
#include <cstdint>

#include "code_map.h"
#include "code_object.h"
#include "stack_sample.h"

namespace otelpyroscope {

// Not thread-safe: the isolate's thread only.
class LateCode {
 public:
  // Adds to `code_map` what the sample's addresses are in. Only while nothing
  // has moved since the sample was taken.
  void Learn(const SampleHeader& header, const uintptr_t* frames,
             CodeMap* code_map);

  // Code may have moved, or be gone.
  void ForgetPlaces() { misses_.Clear(); }

 private:
  void LearnOne(uintptr_t address, CodeMap* code_map);

  MissedCode misses_;
};

}  // namespace otelpyroscope

#endif  // NATIVE_LATE_CODE_H_
