// Readable names of regular expressions and WebAssembly functions, from the
// names that V8's code events give them.
#ifndef NATIVE_NAMES_CODE_EVENT_NAMES_H_
#define NATIVE_NAMES_CODE_EVENT_NAMES_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace otelpyroscope {

// The source text of a regular expression is cut to so many bytes.
constexpr size_t kMaxRegExpBytes = 120;

// "(regexp) /a+b/gi" of "a+b" and "gi".
std::string RegExpName(std::string_view source, std::string_view flags);

// The same for "RegExp:a+b" (up to V8 12, which leaves out the
// flags) and "RegExp.> src: 'a+b' flags: 'gi'" (since V8 13). Empty: `event`
// is no regular expression.
std::string RegExpNameOf(std::string_view event);

// "wasm-function[3]" or the module's own name for the function, for
// "JS:wasm-function[3]-3-liftoff". Empty: `event` is no WebAssembly function.
std::string_view WasmName(std::string_view event);

}  // namespace otelpyroscope

#endif  // NATIVE_NAMES_CODE_EVENT_NAMES_H_
