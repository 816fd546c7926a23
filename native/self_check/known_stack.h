// Checks the table of offsets on the stack of a known call, walked as the
// stacks of samples are.
#ifndef NATIVE_SELF_CHECK_KNOWN_STACK_H_
#define NATIVE_SELF_CHECK_KNOWN_STACK_H_

#include <array>

#include "v8.h"

namespace otelpyroscope {

// Two functions on the first line of a script, whose context is the script's:
// the outer one calls its first argument with its second, and the inner one
// calls its argument.
struct KnownCall {
  v8::Local<v8::Function> inner;
  v8::Local<v8::Function> outer;
  int column_offset = 0;  // the script's
};

struct KnownStackResult {
  bool frames_right = false;
  bool positions_right = false;  // those of interpreted code
};

// Lets `outer` call `inner`, and that a native function, which compares the two
// frames as V8 lists them with the table: their functions, contexts and
// positions. Returns false if V8 refuses the call. Only where CheckLayout() may
// be called.
bool CheckKnownStack(v8::Isolate* isolate, const KnownCall& call,
                     KnownStackResult* result);

}  // namespace otelpyroscope

#endif  // NATIVE_SELF_CHECK_KNOWN_STACK_H_
