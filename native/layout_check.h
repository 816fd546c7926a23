// Tries the table of V8's offsets on functions and strings that are known.
//
// What the table says of functions, scripts and bytecode is either right for
// these, or nothing is read by it in this process: a wrong offset might read
// one function's number for another's, and nothing later would tell. What it
// says of optimized and baseline code is checked with every piece of code.
#ifndef NATIVE_LAYOUT_CHECK_H_
#define NATIVE_LAYOUT_CHECK_H_

#include "v8.h"

namespace otelpyroscope {

// Does nothing where the table has been tried before. Compiles and runs
// JavaScript: not inside V8's callbacks.
void CheckLayout(v8::Isolate* isolate);

}  // namespace otelpyroscope

#endif  // NATIVE_LAYOUT_CHECK_H_
