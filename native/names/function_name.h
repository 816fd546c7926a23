// Splits the function names of V8's code events, "fn url:line:col". Pure; any
// thread, and no allocation.
#ifndef NATIVE_NAMES_FUNCTION_NAME_H_
#define NATIVE_NAMES_FUNCTION_NAME_H_

#include <string_view>

namespace otelpyroscope {

// The parts of a function's name.
struct FunctionName {
  std::string_view name;  // empty: anonymous
  std::string_view url;   // empty: none
  int line = 0;           // 1-based; 0: unknown
  int column = 0;
};

// Splits "fn url:line:col", or " url" of a script's top-level code. Function
// names and URLs may contain spaces, so `url`, if it is known, decides where
// the name ends.
FunctionName ParseFunctionName(std::string_view text, std::string_view url);

// Removes ":number" from the end of `text`. Returns false if there is none.
bool TakeNumber(std::string_view* text, int* number);

}  // namespace otelpyroscope

#endif  // NATIVE_NAMES_FUNCTION_NAME_H_
