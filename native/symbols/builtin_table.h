// V8's builtins by address: names from the symbols of the program.
//
// V8 has no call that names them, but for its code events, which cost much for
// as long as they are followed.
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

// Made once in the process, never freed. About 200 KB.
class BuiltinTable {
 public:
  // Of the builtins that lie at [start, start + size): reads the file that is
  // mapped there, in less than 1 ms. Null: it has no symbols for them
  // (stripped).
  static const BuiltinTable* Get(uintptr_t start, size_t size);

  // The builtin that contains `address`, or null.
  const Builtin* Find(uintptr_t address) const;

 private:
  static const BuiltinTable* Read(uintptr_t start, size_t size);

  std::vector<Builtin> builtins_;  // by start
};

}  // namespace otelpyroscope

#endif  // NATIVE_SYMBOLS_BUILTIN_TABLE_H_
