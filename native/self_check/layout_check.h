// Tests the table of V8's offsets on functions, strings, a regular expression
// and a stack that are known.
//
// A part of the table that is wrong about them is not used in this process: a
// wrong offset might read one function's number or name for another's, and
// nothing later would detect it. Offsets that concern one piece of optimized or
// baseline code are checked with that piece.
#ifndef NATIVE_SELF_CHECK_LAYOUT_CHECK_H_
#define NATIVE_SELF_CHECK_LAYOUT_CHECK_H_

#include "symbols/builtin_table.h"
#include "v8.h"

namespace otelpyroscope {

// Does nothing if the table was tested before; else takes about 1 ms. Called
// from JavaScript only, never in an interrupt or in a callback of V8: it
// compiles and runs a script of its own, which consists of syntax alone, so
// that nothing is called that an application has replaced. If V8 refuses (the
// isolate is being terminated, the stack is full), a later call tries again.
// Until then, and if the table is wrong, V8's code events are listened to
// instead.
void CheckLayout(v8::Isolate* isolate);

// Compares the code of builtins, as the table locates it, with the program's
// own symbols; if they differ, nothing is read of machine code. Only reads, so
// interrupts of V8 may call it. Not a part of CheckLayout(), because reading
// the symbols takes a while.
void CheckBuiltins(const BuiltinTable& builtins);

}  // namespace otelpyroscope

#endif  // NATIVE_SELF_CHECK_LAYOUT_CHECK_H_
