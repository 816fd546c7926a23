// Where an isolate keeps the code that V8 generates, and its builtins.
#ifndef NATIVE_CODE_RANGES_H_
#define NATIVE_CODE_RANGES_H_

#include "code_map.h"
#include "v8.h"

namespace otelpyroscope {

// Tells `code_map`; `by_events`: which learns of code from V8's events. Reads
// /proc/self/maps where V8 does not tell all. False: that does not either.
bool LearnCodeRanges(v8::Isolate* isolate, bool by_events, CodeMap* code_map);

}  // namespace otelpyroscope

#endif  // NATIVE_CODE_RANGES_H_
