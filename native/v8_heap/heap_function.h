// Reads functions of scripts and regular expressions from V8's heap: their
// names, where they begin, and their bytecode.
//
// All reads are safe: for any given word, the result is right or the call
// fails. Results are valid as long as nothing has moved since the word was
// found. May be called in the drain and in the self-check, on the isolate's
// thread; never in the signal handler.
#ifndef NATIVE_V8_HEAP_HEAP_FUNCTION_H_
#define NATIVE_V8_HEAP_HEAP_FUNCTION_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "v8_heap/source_positions.h"

namespace otelpyroscope {

struct HeapFunction {
  FunctionId id;
  std::string name;    // as V8's debugger names it; empty: anonymous
  std::string url;     // the script's name; empty: none, or a data: URL
  int32_t start = -1;  // offset in the script's source
  int line = 0;        // of the start, 1-based; 0: not counted
  int column = 0;      // of the start, 1-based; 0: not counted
  // Hash of the script's source, if `url` is empty: equal for equal sources.
  uint32_t text_hash = 0;  // 0: unknown
};

namespace heap {

// Characters of a name or a URL that are kept.
constexpr size_t kMaxNameChars = 1024;
// Lines are counted up to this character; V8 is asked for later ones.
constexpr size_t kMaxCountedChars = 32 << 10;
// Characters of a source without a name that its hash is made of.
constexpr size_t kMaxHashedChars = 4 << 10;

// Reads the SharedFunctionInfo of a JSFunction. Returns false if it is not a
// function of a script.
bool ReadShared(uintptr_t function, uintptr_t* shared);

// Reads name and start of a function. Returns false for a function that is not
// compiled: it does not have its name yet.
bool ReadFunction(uintptr_t shared, HeapFunction* function);

// Reads the name of a JSRegExp: "(regexp) /a+b/gi". Returns false if `object`
// is not a JSRegExp.
bool ReadRegExpName(uintptr_t object, std::string* name);

// Does the same if the JSRegExp has this Code object. Returns false if it has
// other code.
bool ReadRegExp(uintptr_t object, uintptr_t code, std::string* name);

// Finds the bytecode that the function runs, or that its baseline code is made
// from.
bool ReadBytecodeOf(uintptr_t shared, uintptr_t* start, size_t* size);

// Finds the bytecode that contains an address, or begins one byte after it.
bool FindBytecode(uintptr_t address, uintptr_t* start, size_t* size);

// Finds the bytecode that baseline code was made from.
bool ReadBytecodeOfCode(uintptr_t code, uintptr_t* start, size_t* size);

}  // namespace heap
}  // namespace otelpyroscope

#endif  // NATIVE_V8_HEAP_HEAP_FUNCTION_H_
