// The stack of a call that is known, walked as the stacks of samples are.
#ifndef NATIVE_SELF_CHECK_KNOWN_STACK_H_
#define NATIVE_SELF_CHECK_KNOWN_STACK_H_

#include <array>

#include "v8.h"

namespace otelpyroscope {

// Two functions of a script on its first line, whose context is the script's:
// the outer one calls its first argument with its second, and the inner one its
// argument.
struct KnownCall {
  v8::Local<v8::Function> inner;
  v8::Local<v8::Function> outer;
  int column_offset = 0;  // of the script
};

struct KnownStackResult {
  bool frames_right = false;
  bool positions_right = false;  // of interpreted code
};

// Has `outer` call `inner`, and that a native function, which compares what V8
// says of the two frames with what the table does: their functions, contexts
// and places. False: V8 refuses the call.
bool CheckKnownStack(v8::Isolate* isolate, const KnownCall& call,
                     KnownStackResult* result);

}  // namespace otelpyroscope

#endif  // NATIVE_SELF_CHECK_KNOWN_STACK_H_
