// Makes readable names of regular expressions and WebAssembly functions from
// the names in V8's code events. Pure; any thread, but not the signal handler.
#ifndef NATIVE_NAMES_CODE_EVENT_NAMES_H_
#define NATIVE_NAMES_CODE_EVENT_NAMES_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace otelpyroscope {

// Bytes that are kept of a regular expression's source text.
constexpr size_t kMaxRegExpBytes = 120;

// Returns "(regexp) /a+b/gi" for the source "a+b" and the flags "gi".
std::string RegExpName(std::string_view source, std::string_view flags);

// Returns the same for the events "RegExp:a+b" (up to V8 12, which leaves out
// the flags) and "RegExp.> src: 'a+b' flags: 'gi'" (since V8 13), or "" if
// `event` is not the name of a regular expression.
std::string RegExpNameOf(std::string_view event);

// Returns "wasm-function[3]", or the module's own name of the function, for the
// event "JS:wasm-function[3]-3-liftoff"; or "" if `event` is not the name of a
// WebAssembly function.
std::string_view WasmName(std::string_view event);

}  // namespace otelpyroscope

#endif  // NATIVE_NAMES_CODE_EVENT_NAMES_H_
