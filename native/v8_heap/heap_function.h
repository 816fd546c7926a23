// What V8's heap says of functions of scripts and of regular expressions: their
// names, where they begin, and their bytecode.
//
// Safe reads, as all of the heap here: whatever word is given, the answer is
// right or there is none. Good as long as nothing has moved since the word was
// found.
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
  std::string url;     // the script's name; empty: none
  int32_t start = -1;  // offset in the script's source
  int line = 0;        // of the start, 1-based; 0: not counted
  int column = 0;      // of the start, 1-based; 0: not counted
};

namespace heap {

// Characters of a name or a URL that are kept.
constexpr size_t kMaxNameChars = 1024;
// Lines are counted up to here; V8 is asked for those further down.
constexpr size_t kMaxCountedChars = 32 << 10;

// The SharedFunctionInfo of a JSFunction. False: not a function of a script.
bool ReadShared(uintptr_t function, uintptr_t* shared);

// False for a function that is not compiled: it does not know its name yet.
bool ReadFunction(uintptr_t shared, HeapFunction* function);

// The name of a JSRegExp: "(regexp) /a+b/gi". False: it is none.
bool ReadRegExpName(uintptr_t object, std::string* name);

// The same of one that has this Code object. False: it has other code.
bool ReadRegExp(uintptr_t object, uintptr_t code, std::string* name);

// The bytecode that the function runs, or its baseline code is made from.
bool ReadBytecodeOf(uintptr_t shared, uintptr_t* start, size_t* size);

// The bytecode around an address, or one byte behind it.
bool FindBytecode(uintptr_t address, uintptr_t* start, size_t* size);

// The bytecode that baseline code was made from.
bool ReadBytecodeOfCode(uintptr_t code, uintptr_t* start, size_t* size);

}  // namespace heap
}  // namespace otelpyroscope

#endif  // NATIVE_V8_HEAP_HEAP_FUNCTION_H_
