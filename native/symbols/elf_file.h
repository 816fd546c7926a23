// The function symbols of one ELF file. The file is somebody's: nothing in it
// is trusted, and it is read, not mapped, for a mapped file that shrinks is a
// crash.
#ifndef NATIVE_SYMBOLS_ELF_FILE_H_
#define NATIVE_SYMBOLS_ELF_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace otelpyroscope {

// A function [start, start + size), as the file numbers addresses.
struct ElfFunction {
  uint32_t start = 0;  // behind ElfFunctions::base
  uint32_t size = 0;
  uint32_t name = 0;  // place in the string table
};

struct ElfFunctions {
  // Symbols of one file; what comes after is left out. 48 MiB.
  static constexpr size_t kMaxFunctions = size_t{4} << 20;

  uint64_t base = 0;
  uint64_t names_offset = 0;  // of the string table in the file
  uint64_t names_size = 0;
  std::vector<ElfFunction> functions;  // by start; one for each start

  // The function that contains `address`, as the file numbers it, or null.
  const ElfFunction* Find(uint64_t address) const;
};

// Reads .symtab, else .dynsym, of an open file. `base` is the lowest address of
// interest. False: no such table, or no such file.
bool ReadElfFunctions(int file, uint64_t base, ElfFunctions* functions);

// The same of the functions that begin at [base, base + size) only, and that
// have come from one object file: their symbols lie in a row, so that not all
// of the table has to be read.
bool ReadElfRow(int file, uint64_t base, uint32_t size,
                ElfFunctions* functions);

// The name of a function; empty where the file does not hold it.
std::string ReadElfName(int file, const ElfFunctions& functions,
                        const ElfFunction& function);

// The names of all functions, in their order. False: they are not all to be
// had, or lie far apart in the file.
bool ReadElfNames(int file, const ElfFunctions& functions,
                  std::vector<std::string>* names);

}  // namespace otelpyroscope

#endif  // NATIVE_SYMBOLS_ELF_FILE_H_
