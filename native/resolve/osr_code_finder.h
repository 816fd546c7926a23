// Finds code that V8 has not reported, when a sample first hits it.
//
// Where V8's code events are listened to, V8 does not list code that replaced a
// running loop (on-stack replacement) before that. Such code can be found from
// any address in it.
#ifndef NATIVE_RESOLVE_OSR_CODE_FINDER_H_
#define NATIVE_RESOLVE_OSR_CODE_FINDER_H_

#include <cstddef>
#include <cstdint>

#include "code/code_map.h"
#include "handler/sample.h"
#include "v8_heap/code_object.h"

namespace otelpyroscope {

// Not thread-safe: on the isolate's thread only, outside the signal handler.
class OsrCodeFinder {
 public:
  // Adds the code at the sample's addresses to `code_map`. Called in the drain,
  // only while nothing has moved since the sample was taken.
  void Learn(const SampleHeader& header, const uintptr_t* frames,
             CodeMap* code_map);

  // Forgets addresses at which no code was found, because other code may be
  // there since. Called in the drain and in callbacks of the collector.
  void ForgetAddresses() { misses_.Clear(); }

 private:
  void LearnOne(uintptr_t address, CodeMap* code_map);

  MissedCode misses_;
};

}  // namespace otelpyroscope

#endif  // NATIVE_RESOLVE_OSR_CODE_FINDER_H_
