// Where an isolate keeps the code that V8 generates, and its builtins.
#ifndef NATIVE_CODE_CODE_RANGES_H_
#define NATIVE_CODE_CODE_RANGES_H_

#include "code/code_map.h"
#include "v8.h"

namespace otelpyroscope {

// Tells `code_map`; `by_events`: which learns of code from V8's events. Looks
// for the copy of the builtins, of which V8 does not tell: less than 1 ms.
// False: neither does the system.
bool LearnCodeRanges(v8::Isolate* isolate, bool by_events, CodeMap* code_map);

}  // namespace otelpyroscope

#endif  // NATIVE_CODE_CODE_RANGES_H_
