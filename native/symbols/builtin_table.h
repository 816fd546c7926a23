// Finds V8's builtins by address, and names them by the symbols of the program.
//
// V8 names builtins only in its code events, and listening to those slows the
// program for as long as it lasts.
#ifndef NATIVE_SYMBOLS_BUILTIN_TABLE_H_
#define NATIVE_SYMBOLS_BUILTIN_TABLE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace otelpyroscope {

struct Builtin {
  uintptr_t start = 0;
  size_t size = 0;
  bool is_bytecode_handler = false;  // part of the interpreter
  std::string name;                  // "ArrayMap"
};

// One table per process, made once and never freed; about 200 KB. Any thread
// may call it, but not the signal handler.
class BuiltinTable {
 public:
  // Returns the table of the builtins at [start, start + size), or null if the
  // program has no symbols for them (stripped). The first call reads the file
  // that is mapped there, in less than 1 ms.
  static const BuiltinTable* Get(uintptr_t start, size_t size);

  // Returns the builtin that contains `address`, or null.
  const Builtin* Find(uintptr_t address) const;

 private:
  static const BuiltinTable* Read(uintptr_t start, size_t size);

  std::vector<Builtin> builtins_;  // by start
};

}  // namespace otelpyroscope

#endif  // NATIVE_SYMBOLS_BUILTIN_TABLE_H_
