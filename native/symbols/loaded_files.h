// What files are loaded: the program, its libraries, addons.
#ifndef NATIVE_SYMBOLS_LOADED_FILES_H_
#define NATIVE_SYMBOLS_LOADED_FILES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace otelpyroscope {

struct LoadedFile {
  uintptr_t begin = 0;  // of the lowest segment
  uintptr_t end = 0;    // of the highest executable segment
  uintptr_t bias = 0;   // address in memory - address in the file
  std::string path;     // of the program: /proc/self/exe
  bool is_program = false;

  bool Contains(uintptr_t address) const {
    return address >= begin && address < end;
  }
};

// Files with code, in the order in which they were loaded; of very many, the
// last ones are left out.
std::vector<LoadedFile> LoadedFiles();

// Opens the file for reading, if it still is the one in memory: an upgrade may
// have put another in its place. Waits for nobody: where a pipe or a device is
// now, it is not opened. -1: not to be had. To be closed.
int OpenLoadedFile(const LoadedFile& loaded);

// The one with the code at `address`; none: that is in no file.
std::optional<LoadedFile> LoadedFileOf(uintptr_t address);

}  // namespace otelpyroscope

#endif  // NATIVE_SYMBOLS_LOADED_FILES_H_
