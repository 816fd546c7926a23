// Finds the ranges in which an isolate keeps generated code and builtins.
#ifndef NATIVE_CODE_CODE_RANGES_H_
#define NATIVE_CODE_CODE_RANGES_H_

#include "code/code_map.h"
#include "v8.h"

namespace otelpyroscope {

// Stores the ranges in `code_map`. `by_events`: the map gets its code from V8's
// events. Searches for the copy of the builtins, which V8 does not report, in
// less than 1 ms. Returns false if the list of mappings cannot be read. On
// the isolate's thread, outside callbacks of the collector.
bool LearnCodeRanges(v8::Isolate* isolate, bool by_events, CodeMap* code_map);

}  // namespace otelpyroscope

#endif  // NATIVE_CODE_CODE_RANGES_H_
