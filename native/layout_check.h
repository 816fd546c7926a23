// Tries the table of V8's offsets on functions whose numbers are known.
//
// What the table says of functions, scripts and bytecode is either right for
// these, or nothing is read by it in this process: a wrong offset might read
// one function's number for another's, and nothing later would tell. What it
// says of optimized and baseline code is checked with every piece of code.
#ifndef NATIVE_LAYOUT_CHECK_H_
#define NATIVE_LAYOUT_CHECK_H_

#include "code_map.h"
#include "source_positions.h"
#include "v8.h"

namespace otelpyroscope {

// Lives on the stack, around the listing of V8's code. Does nothing where the
// table has been tried before. Runs JavaScript: not inside V8's callbacks.
class LayoutCheck {
 public:
  // Compiles and runs the functions, and looks at what can be told of them.
  explicit LayoutCheck(v8::Isolate* isolate);
  // Looks at their bytecode, which V8 has listed into `code_map`.
  void Finish(const CodeMap& code_map);

 private:
  v8::HandleScope scope_;  // keeps the functions
  FunctionId functions_[2];
};

}  // namespace otelpyroscope

#endif  // NATIVE_LAYOUT_CHECK_H_
