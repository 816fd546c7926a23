// Symbols of native functions as people write them.
#ifndef NATIVE_NAMES_DEMANGLE_H_
#define NATIVE_NAMES_DEMANGLE_H_

#include <cstddef>
#include <string>

namespace otelpyroscope {

// Longer symbols are not demangled, longer names are cut.
constexpr size_t kMaxSymbolBytes = 2048;
constexpr size_t kMaxSymbolNameBytes = 256;

// "node::fs::ReadFileUtf8" for
// "_ZN4node2fsL12ReadFileUtf8ERKN2v820FunctionCallbackInfoINS1_5ValueEEE":
// demangled, without return type, parameters, template arguments, unnamed
// namespaces, and what compilers and linkers append. V8's builtins as V8 calls
// them: "ArrayMap" for "Builtins_ArrayMap".
std::string ReadableSymbol(const std::string& symbol);

// The same for what a demangler returns.
std::string ShortFunctionName(const std::string& demangled);

}  // namespace otelpyroscope

#endif  // NATIVE_NAMES_DEMANGLE_H_
