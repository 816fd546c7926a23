// Turns symbols of native functions into the names that people write. Pure; any
// thread, but not the signal handler, because it allocates.
#ifndef NATIVE_NAMES_DEMANGLE_H_
#define NATIVE_NAMES_DEMANGLE_H_

#include <cstddef>
#include <string>

namespace otelpyroscope {

// Longer symbols are not demangled; longer names are cut.
constexpr size_t kMaxSymbolBytes = 2048;
constexpr size_t kMaxSymbolNameBytes = 256;

// Returns "node::fs::ReadFileUtf8" for
// "_ZN4node2fsL12ReadFileUtf8ERKN2v820FunctionCallbackInfoINS1_5ValueEEE":
// demangled, without return type, parameters, template arguments, unnamed
// namespaces, and the suffixes of compilers and linkers. Builtins get V8's own
// name: "ArrayMap" for "Builtins_ArrayMap".
std::string ReadableSymbol(const std::string& symbol);

// Returns the same for the output of a demangler.
std::string ShortFunctionName(const std::string& demangled);

}  // namespace otelpyroscope

#endif  // NATIVE_NAMES_DEMANGLE_H_
