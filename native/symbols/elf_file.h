// Reads the function symbols of one ELF file. The file may be damaged or
// malicious: nothing in it is trusted. It is read, not mapped, because a mapped
// file that shrinks crashes the process. Any thread, but not the signal
// handler.
#ifndef NATIVE_SYMBOLS_ELF_FILE_H_
#define NATIVE_SYMBOLS_ELF_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace otelpyroscope {

// A function [start, start + size), in the file's own addresses.
struct ElfFunction {
  uint32_t start = 0;  // relative to ElfFunctions::base
  uint32_t size = 0;
  uint32_t name = 0;  // offset in the string table
};

struct ElfFunctions {
  // Symbols of one file; further ones are left out. 48 MiB.
  static constexpr size_t kMaxFunctions = size_t{4} << 20;

  uint64_t base = 0;
  uint64_t names_offset = 0;  // of the string table in the file
  uint64_t names_size = 0;
  std::vector<ElfFunction> functions;  // sorted by start, one for each

  // Returns the function that contains `address`, one of the file's own
  // addresses, or null.
  const ElfFunction* Find(uint64_t address) const;
};

// Reads .symtab, else .dynsym, of an open file. `base` is the lowest address of
// interest. Returns false if there is no such table, or the file is not an ELF
// file.
bool ReadElfFunctions(int file, uint64_t base, ElfFunctions* functions);

// Does the same for the functions that begin at [base, base + size) only and
// come from one object file: their symbols are adjacent, so only a part of the
// table has to be read.
bool ReadElfRow(int file, uint64_t base, uint32_t size,
                ElfFunctions* functions);

// Returns the name of a function, or "" if the file does not contain it.
std::string ReadElfName(int file, const ElfFunctions& functions,
                        const ElfFunction& function);

// Reads the names of all functions, in their order. Returns false if some
// cannot be read, or are far apart in the file.
bool ReadElfNames(int file, const ElfFunctions& functions,
                  std::vector<std::string>* names);

}  // namespace otelpyroscope

#endif  // NATIVE_SYMBOLS_ELF_FILE_H_
