// Tries the table of V8's offsets on functions, strings, a regular expression
// and a stack that are known.
//
// What the table says of these is right, or what is wrong about it is not used
// in this process: a wrong offset might read one function's number or name for
// another's, and nothing later would tell. What it says of one piece of
// optimized or baseline code is checked with that piece.
#ifndef NATIVE_SELF_CHECK_LAYOUT_CHECK_H_
#define NATIVE_SELF_CHECK_LAYOUT_CHECK_H_

#include "symbols/builtin_table.h"
#include "v8.h"

namespace otelpyroscope {

// Does nothing where the table has been tried before; about 1 ms. Only where
// JavaScript has called, and so never in an interrupt or a callback of V8's: it
// compiles and runs a script of its own, which consists of syntax alone, so
// that nothing that an application has replaced is called. Where that is
// refused (the isolate is being terminated, the stack is full), a later call
// tries again. Until then, and where the table is wrong, V8's code events are
// followed instead.
void CheckLayout(v8::Isolate* isolate);

// Compares what the table says of the code of builtins with the program's own
// symbols; where they differ, nothing is read of machine code. Reads only.
// Because the symbols take a while to read, this is not a part of
// CheckLayout().
void CheckBuiltins(const BuiltinTable& builtins);

}  // namespace otelpyroscope

#endif  // NATIVE_SELF_CHECK_LAYOUT_CHECK_H_
