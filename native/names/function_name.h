// Names of V8's code events taken apart: "fn url:line:col". Pure.
#ifndef NATIVE_NAMES_FUNCTION_NAME_H_
#define NATIVE_NAMES_FUNCTION_NAME_H_

#include <string_view>

namespace otelpyroscope {

// A function's name taken apart.
struct FunctionName {
  std::string_view name;  // empty: anonymous
  std::string_view url;   // empty: none
  int line = 0;           // 1-based; 0: unknown
  int column = 0;
};

// Splits "fn url:line:col", or " url" of a script's top level. Function names
// and URLs may contain spaces: `url`, where known, tells where to cut.
FunctionName ParseFunctionName(std::string_view text, std::string_view url);

// Takes ":number" off the end of `text`. False: there is none.
bool TakeNumber(std::string_view* text, int* number);

}  // namespace otelpyroscope

#endif  // NATIVE_NAMES_FUNCTION_NAME_H_
