// Code that V8 has not told of, learnt when a sample first hits it.
//
// V8 lists no code that it has put in the place of a running loop (on-stack
// replacement) before sampling began. It can be found from any address in it.
#ifndef NATIVE_RESOLVE_OSR_CODE_FINDER_H_
#define NATIVE_RESOLVE_OSR_CODE_FINDER_H_

#include <cstddef>
#include <cstdint>

#include "code/code_map.h"
#include "handler/sample.h"
#include "v8_heap/code_object.h"

namespace otelpyroscope {

// Not thread-safe: the isolate's thread only.
class OsrCodeFinder {
 public:
  // Adds to `code_map` what the sample's addresses are in. Only while nothing
  // has moved since the sample was taken.
  void Learn(const SampleHeader& header, const uintptr_t* frames,
             CodeMap* code_map);

  // Code may have moved, or be gone.
  void ForgetAddresses() { misses_.Clear(); }

 private:
  void LearnOne(uintptr_t address, CodeMap* code_map);

  MissedCode misses_;
};

}  // namespace otelpyroscope

#endif  // NATIVE_RESOLVE_OSR_CODE_FINDER_H_
